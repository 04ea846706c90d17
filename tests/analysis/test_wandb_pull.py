"""`python -m analysis wandb STUDY --pull PROJECT` against a server on loopback."""

import json
from dataclasses import replace

import pytest
import studies

from analysis.__main__ import main
from analysis.results import load
from analysis.wandb_summary import tell_summary
from repghost.latency.record import Identity, Measurement, as_record
from repghost.latency.store import Store
from repghost.run import Run
from repghost.tracking.spec import TrackingSpec
from repghost.tracking.tracker import Tracker
from repghost.tracking.wandb_run import Label

SPEC = TrackingSpec(patience_s=10.0)
FILES = ("metrics.jsonl", "certificate.json", "result.json", "config.yaml")


def measurement(fingerprint):
    ends = {"latency_low": 1.125, "latency_high": 1.375, "ratio_low": 0.9, "ratio_high": 1.1}
    return Measurement(
        Identity(fingerprint, "local: a CPU", "paired", 1, "3.6.1", "repghostnet-0.5x"),
        latency_ms=1.25,
        latency_ratio=1.0,
        reference_ms=1.25,
        samples_ms=(1.0, 1.25, 1.5),
        reference_samples_ms=(1.0, 1.25, 1.5),
        runs_per_sample=1,
        samples_per_round=1,
        settled=True,
        ended="precise",
        flags=("busy",),
        device_state={"load": 0.5, "governor": None},
        session="s",
        measured_at="2026-01-01T00:00:00+00:00",
        host="h",
        **ends,
    )


def send(folder):
    """Send a study whose runs have all their files, with a measurement each."""
    results = load(folder)
    for row in results.rows:
        run = Run(folder.parent, row.key)
        (run.folder / "config.yaml").write_text(f"seed: {row.seed}\n")
        (run.folder / "result.json").write_text(json.dumps({"top1": row.top1}))
        with Tracker(SPEC, run.folder / "wandb", print) as tracker:
            tracker.start(Label(row.key, "another study trained it", row.key, "variant"))
            tracker.keep((run.folder / name for name in FILES), "run")
            tracker.write("run/latency.json", json.dumps(as_record(measurement(row.key))))
    profiles = folder.parent / "profiles"
    profiles.mkdir()
    (profiles / f"{results.rows[0].fingerprint}-cpu.json").write_text("{}")
    (profiles / "of-another-study.json").write_text("{}")
    assert tell_summary(folder, SPEC, print)


def test_a_study_comes_back_from_w_and_b_alone(fake, tmp_path, capsys):
    folder = studies.write_demo(tmp_path / "here")
    send(folder)
    there = tmp_path / "there"
    capsys.readouterr()
    main(["wandb", folder.name, "--pull", "me/repghost", "--outputs", str(there)])
    assert "3 of 3 runs" in capsys.readouterr().out
    ours, theirs = load(folder), load(there / folder.name)
    assert theirs.rows == ours.rows
    assert theirs.provenance == ours.provenance
    for row in ours.rows:
        assert theirs.curve(row) == ours.curve(row) != []
        for name in FILES:
            places = (outputs / "runs" / row.key / name for outputs in (folder.parent, there))
            assert len({place.read_bytes() for place in places}) == 1
        measured = measurement(row.key)
        assert Store(f"sqlite:///{there}/latency.db").find(measured.identity) == measured
    assert [path.name for path in (there / "profiles").iterdir()] == ["f1ab" * 10 + "-cpu.json"]
    assert sorted(path.name for path in there.iterdir()) == sorted(
        ["latency.db", "profiles", "runs", folder.name]
    )
    main(["show", str(folder)])
    shown = capsys.readouterr().out.replace(str(folder.parent), str(there))
    main(["show", folder.name, "--outputs", str(there)])
    assert capsys.readouterr().out.split() == shown.split()


def test_samples_of_a_further_device_come_back_with_the_study(fake, tmp_path):
    folder = studies.write_devices(tmp_path / "here")
    row = load(folder).rows[0]
    on_phone = replace(
        measurement(row.fingerprint), latency_ratio=row.further["pixel"].latency_ratio
    )
    identity = replace(on_phone.identity, device=studies.PHONE)
    on_phone = Store(f"sqlite:///{folder.parent}/latency.db").add(
        replace(on_phone, identity=identity)
    )
    assert tell_summary(folder, SPEC, print)
    there = tmp_path / "there"
    main(["wandb", folder.name, "--pull", "me/repghost", "--outputs", str(there)])
    assert Store(f"sqlite:///{there}/latency.db").all() == [on_phone]


def test_what_is_here_already_is_left_as_it_is(fake, tmp_path, capsys):
    folder = studies.write_demo(tmp_path / "here")
    send(folder)
    there = tmp_path / "there"
    run = there / "runs" / load(folder).rows[0].key
    run.mkdir(parents=True)
    (run / "result.json").write_text("mine")
    words = ["wandb", folder.name, "--pull", "me/repghost", "--outputs", str(there)]
    main(words)
    assert [path.name for path in run.iterdir()] == ["result.json"]
    assert (run / "result.json").read_text() == "mine"
    with pytest.raises(SystemExit, match="exists: nothing is written over"):
        main(words)


def test_runs_that_w_and_b_has_not_are_counted(fake, tmp_path, capsys):
    folder = studies.write_demo(tmp_path / "here")
    assert tell_summary(folder, SPEC, print)
    there = tmp_path / "there"
    main(["wandb", folder.name, "--pull", "me/repghost", "--outputs", str(there)])
    assert "0 of 3 runs" in capsys.readouterr().out
    assert load(there / folder.name).rows == load(folder).rows


@pytest.mark.parametrize(
    ("study", "source", "said"),
    [
        ("other", "me/repghost", "me/repghost: has no summary of a study other"),
        ("model.reparam", "me/nothing", "Could not find project nothing"),
        ("../up", "me/repghost", "must be a study's name, not a path"),
    ],
)
def test_what_cannot_be_pulled_is_said_and_leaves_nothing(study, source, said, fake, tmp_path):
    assert tell_summary(studies.write_demo(tmp_path / "here"), SPEC, print)
    there = tmp_path / "there"
    with pytest.raises(SystemExit, match=said):
        main(["wandb", study, "--pull", source, "--outputs", str(there)])
    assert not there.exists() or not list(there.iterdir())


def test_a_key_that_is_refused_is_said_in_a_line(fake, tmp_path):
    fake.refuses = True
    with pytest.raises(SystemExit, match=r"^analysis: W&B: ") as ended:
        main(["wandb", "demo", "--pull", "repghost", "--outputs", str(tmp_path / "there")])
    assert "\n" not in str(ended.value)


def test_a_hostile_summary_writes_nothing_outside(fake, tmp_path):
    folder = studies.write_study(tmp_path / "here", [studies.run(key="../../escaped")])
    assert tell_summary(folder, SPEC, print)
    (run,) = fake.runs.values()
    run.files["study/../../escaped"] = run.files["profiles/../../escaped"] = b"x"
    with pytest.raises(SystemExit, match="is no key of a run"):
        main(["wandb", "demo", "--pull", "me/repghost", "--outputs", str(tmp_path / "there")])
    assert not list(tmp_path.rglob("escaped*"))


def test_without_an_account_it_is_said_what_to_do(fake, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(SystemExit, match="no W&B account: set WANDB_API_KEY"):
        main(["wandb", "demo", "--pull", "me/repghost", "--outputs", str(tmp_path)])
