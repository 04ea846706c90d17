import pytest

from repghost.latency.spec import StorageSpec


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://joe:geheim@host/db",
        "postgresql+psycopg://joe:ge@he/im:geheim@host:5432/db",
        "postgresql+psycopg://:geheim@host/db",
        "postgresql+psycopg://joe@host/db?password=geheim",
        "postgresql+psycopg://host/db?user=joe&PASSWORD=geheim",
        "postgresql+psycopg://host/db?sslpassword=geheim",
        "mysql://host/db?passwd=geheim",
    ],
)
def test_a_password_in_the_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"storage\.url.*PGPASSWORD.*~/\.pgpass") as error:
        StorageSpec(url)
    assert "geheim" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///outputs/latency.db",
        "sqlite:////data/a:b@c/latency.db",
        "sqlite:///C:/runs/me@home/latency.db",
        "postgresql+psycopg://host/db",
        "postgresql+psycopg://joe@host:5432/db?passfile=/home/joe/.pgpass",
        "postgresql+psycopg:///db?host=/var/run/postgresql&user=joe",
    ],
)
def test_an_url_without_a_password_is_taken(url: str) -> None:
    assert StorageSpec(url).url == url
