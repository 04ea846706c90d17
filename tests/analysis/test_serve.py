"""The served report: for this machine alone, made anew when files change, followed by its page."""

import http.client
import threading
from contextlib import contextmanager

import pytest
import studies

from analysis.__main__ import main
from analysis.serve import LiveReport, make_server


@contextmanager
def served(folder, compare=None):
    server = make_server(LiveReport(folder, compare), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def answer(port, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers=names)
    got = connection.getresponse()
    return got, got.read().decode()


def test_what_has_not_changed_is_not_sent_again(tmp_path):
    folder = studies.write_demo(tmp_path)
    with served(folder) as port:
        first, html = answer(port)
        assert first.status == 200 and "98.89" in html
        assert answer(port, If_None_Match=first.headers["ETag"])[0].status == 304
        studies.write_curve(tmp_path, "bnbnbnbn", 50.0, epochs=3)
        again, _ = answer(port, If_None_Match=first.headers["ETag"])
        assert again.status == 200 and again.headers["ETag"] != first.headers["ETag"]


def test_it_listens_on_this_machine_alone_and_for_its_own_names(tmp_path):
    with served(studies.write_demo(tmp_path)) as port:
        assert answer(port, Host=f"localhost:{port}")[0].status == 200
        assert answer(port, Host="127.0.0.1")[0].status == 200, "as a browser says it of port 80"
        for other in (f"evil.example:{port}", "evil.example", "127.0.0.1.evil.example", ""):
            assert answer(port, Host=other)[0].status == 403
        assert answer(port, "/../../etc/passwd")[0].status == 404
    server = make_server(LiveReport(tmp_path), 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_a_sweep_that_has_written_nothing_yet_is_waited_for(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    with served(folder) as port:
        got, text = answer(port)
        assert got.status == 503 and got.headers["Refresh"] and "results.csv" in text
        studies.write_study(tmp_path, [studies.run()])
        assert answer(port)[0].status == 200


def test_a_port_that_is_taken_is_named(tmp_path):
    folder = studies.write_demo(tmp_path)
    with served(folder) as port, pytest.raises(SystemExit, match=f"--port {port}"):
        main(["serve", str(folder), "--port", str(port)])


@pytest.mark.browser
def test_an_open_page_follows_the_sweep_and_keeps_what_was_chosen(browser, tmp_path):
    rows = [studies.run(**{"model.reparam": name}, key=name) for name in ("bn", "id")]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    problems = []
    with served(folder) as port:
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("html[data-ready]", state="attached")
        page.evaluate("window.same = true")
        page.fill("[data-bound=words]", "id")
        page.select_option("#chosen", label="id")
        better = studies.run(**{"model.reparam": "id dconv"}, key="c", top1=99.5)
        studies.write_study(tmp_path, [*rows, better], swept="model.reparam")
        page.wait_for_selector("#variants tbody tr:nth-child(3)", state="attached", timeout=20_000)
        page.wait_for_function("document.getElementById('count').textContent.startsWith('2 of 3')")
        assert page.evaluate("window.same")  # not loaded anew
        assert page.locator("#chosen-title").inner_text() == "id"
        assert page.input_value("[data-bound=words]") == "id"
        assert "follows the sweep" in page.locator("#live").inner_text()
        page.close()
    assert problems == []


@pytest.mark.browser
def test_news_that_cannot_be_shown_are_said_to_be_that_and_asked_for_again(browser, tmp_path):
    asked = []

    def garbled(route):
        asked.append(route.request.headers["if-none-match"])
        route.fulfill(status=200, body="<p>", headers={"ETag": '"garbled"'})

    with served(studies.write_demo(tmp_path)) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("#live:has-text('follows the sweep')")
        page.route("**/", garbled)
        page.wait_for_selector("#live:has-text('could not be shown')", timeout=10_000)
        with page.expect_response("**/"):
            pass
        page.unroute("**/")
        page.wait_for_selector("#live:has-text('follows the sweep')", timeout=10_000)
        page.close()
    assert len(asked) > 1 and len(set(asked)) == 1 and "garbled" not in asked[0]
