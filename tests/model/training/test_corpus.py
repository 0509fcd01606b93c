"""The corpus from real archives: licences, filters, duplicates, splits, and reruns. No network: archives are made."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Checkpoint
from engine.model import corpus, fetch, filters, manifest, shards
from engine.model.manifest import CorpusError, Package
from engine.vocabulary import Vocabulary
from tests.conftest import ROOT

CODE = (ROOT / "engine" / "checkpoint.py").read_text(encoding="utf-8")
OTHER = (ROOT / "engine" / "sampler.py").read_text(encoding="utf-8")
THIRD = (ROOT / "grammars" / "lexer.py").read_text(encoding="utf-8")


def package(name: str, split: str = "train", licence: str = "MIT") -> Package:
    return Package(name, "1.0", licence, "pypi", split, "a test")  # type: ignore[arg-type]


def wheel(downloads: Path, p: Package, files: dict[str, str], licence: str = "License-Expression: MIT") -> None:
    home = downloads / "pypi" / p.key
    home.mkdir(parents=True)
    with zipfile.ZipFile(home / f"{p.name}-1.0-py3-none-any.whl", "w") as z:
        z.writestr(f"{p.name}-1.0.dist-info/METADATA", f"Name: {p.name}\nVersion: 1.0\n{licence}\n")
        for path, text in files.items():
            z.writestr(path, text)


def tarball(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as t:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            t.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    return Checkpoint().tokenizer_file


def build(tmp_path: Path, tokenizer: Path, packages: list[Package]) -> corpus.Report:
    return corpus.build(tmp_path / "out", tokenizer, packages, tmp_path / "downloads", workers=1)


def test_a_build_splits_by_package_drops_what_is_not_wanted_and_spells_every_file_exactly(tmp_path, tokenizer):
    alpha, beta = package("alpha"), package("beta", "dev")
    wheel(tmp_path / "downloads", alpha, {
        "alpha/core.py": CODE,
        "alpha/copy.py": CODE + "\n# a remark\n",
        "alpha/tests/test_core.py": OTHER,
        "alpha/held.py": THIRD,
        "alpha/key.py": OTHER + "\nKEY = 'AKIA" + "A" * 16 + "'\n",
    })  # fmt: skip
    wheel(tmp_path / "downloads", beta, {"beta/lexer.py": THIRD})
    report = build(tmp_path, tokenizer, [alpha, beta])
    assert report.files == {"dev python": 1, "train python": 1}
    assert report.dropped == {"duplicate": 2, "test": 1, "secret": 1}
    (shard,) = shards.read(tmp_path / "out")
    assert shard.files[0].startswith("alpha:alpha/co")
    text = Vocabulary(tokenizer).decode_bytes(shard.ids(0).tolist()).decode()
    assert text.startswith(CODE)
    shard.verify()
    assert len(shard.cuts(0)) > 20
    (line,) = (tmp_path / "out" / "dev.jsonl").read_text().splitlines()
    row = json.loads(line)
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["manifest"] == manifest.digest([beta, alpha]) != manifest.digest([alpha])
    assert row == {"package": "beta", "version": "1.0", "language": "python", "path": "beta/lexer.py", "text": THIRD}


def test_a_licence_that_metadata_does_not_confirm_is_refused_and_the_rest_goes_on(tmp_path, tokenizer):
    good, bad, none = package("good"), package("bad"), package("nothing")
    wheel(tmp_path / "downloads", good, {"good/a.py": CODE})
    wheel(tmp_path / "downloads", bad, {"bad/a.py": OTHER}, "License-Expression: GPL-3.0-only")
    wheel(tmp_path / "downloads", none, {"nothing/a.py": THIRD}, "")
    report = build(tmp_path, tokenizer, [good, bad, none])
    assert "GPL" in report.refused[bad.key]
    assert "no licence" in report.refused[none.key]
    assert report.files == {"train python": 1}


def test_a_rerun_gives_the_same_shards_without_reading_packages_again(tmp_path, tokenizer, monkeypatch):
    alpha = package("alpha")
    wheel(tmp_path / "downloads", alpha, {"alpha/core.py": CODE, "alpha/other.py": OTHER})
    build(tmp_path, tokenizer, [alpha])
    first = (tmp_path / "out" / "train-python-000.bin").read_bytes()
    kept = next((tmp_path / "out" / "packages").glob("*.npz"))
    stamp = kept.stat().st_mtime_ns
    build(tmp_path, tokenizer, [alpha])
    assert (tmp_path / "out" / "train-python-000.bin").read_bytes() == first
    assert kept.stat().st_mtime_ns == stamp


def test_a_damaged_archive_is_named_and_left_out(tmp_path, tokenizer):
    alpha, beta = package("alpha"), package("beta")
    wheel(tmp_path / "downloads", alpha, {"alpha/core.py": CODE})
    wheel(tmp_path / "downloads", beta, {"beta/core.py": OTHER})
    broken = next((tmp_path / "downloads" / "pypi" / beta.key).glob("*.whl"))
    broken.write_bytes(broken.read_bytes()[:200])
    report = build(tmp_path, tokenizer, [alpha, beta])
    assert "damaged" in report.refused[beta.key]
    assert report.files == {"train python": 1}


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.9])
def test_a_tarball_that_was_cut_short_is_left_out_like_any_damaged_archive(tmp_path, tokenizer, kept):
    alpha = package("alpha")
    wheel(tmp_path / "downloads", alpha, {"alpha/core.py": CODE})
    short = Package("short", "1.0.0", "MIT", "npm", "train", "a test")
    path = tmp_path / "downloads" / "npm" / short.key / "short-1.0.0.tgz"
    path.parent.mkdir(parents=True)
    tarball(path, {"package.json": '{"license": "MIT"}', "noise.txt": str(list(range(9000))), "b.ts": "let b = 1"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    report = build(tmp_path, tokenizer, [alpha, short])
    assert "short-1.0.0.tgz is damaged" in report.refused[short.key]
    assert report.files == {"train python": 1}


def test_packages_of_one_name_in_two_registries_are_told_apart(tmp_path, tokenizer):
    here, there = package("same", "dev"), Package("same", "2.0.0", "MIT", "npm", "dev", "a test")
    wheel(tmp_path / "downloads", here, {"same/core.py": CODE})
    path = tmp_path / "downloads" / "npm" / there.key / "same-2.0.0.tgz"
    path.parent.mkdir(parents=True)
    functions = "\n".join(f"export function f{i}(a) {{\n  return a.map((x) => x + {i});\n}}\n" for i in range(9))
    tarball(path, {"package.json": '{"license": "MIT"}', "index.js": functions})
    build(tmp_path, tokenizer, [here, there])
    rows = [json.loads(line) for line in (tmp_path / "out" / "dev.jsonl").read_text().split("\n")[:-1]]
    assert {(r["language"], r["version"]) for r in rows} == {("python", "1.0"), ("javascript", "2.0.0")}


def test_nothing_usable_is_a_clear_error(tmp_path, tokenizer):
    bad = package("bad")
    wheel(tmp_path / "downloads", bad, {"bad/a.py": CODE}, "License-Expression: AGPL-3.0-only")
    with pytest.raises(CorpusError, match="no package of the manifest could be used"):
        build(tmp_path, tokenizer, [bad])


def test_a_shard_that_was_cut_short_says_so(tmp_path, tokenizer):
    alpha = package("alpha")
    wheel(tmp_path / "downloads", alpha, {"alpha/core.py": CODE})
    build(tmp_path, tokenizer, [alpha])
    file = tmp_path / "out" / "train-python-000.bin"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CorpusError, match="cut short"):
        shards.read(tmp_path / "out")


def test_the_packaged_manifest_is_sound_and_holds_packages_out():
    packages = manifest.load()
    assert {p.registry for p in packages} == {"pypi", "npm", "interpreter"}
    assert len([p for p in packages if p.split == "dev"]) >= 8
    assert not [p for p in packages if filters.EVALUATION.search(p.name)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            '{ name = "a", version = "1", licence = "GPL-3.0", registry = "pypi", split = "train", why = "x" }',
            "GPL-3.0",
        ),
        ('{ name = "a", version = "1", licence = "MIT", registry = "maven", split = "train", why = "x" }', "maven"),
        ('{ name = "a", version = "1", licence = "MIT", registry = "pypi", split = "test", why = "x" }', "split"),
        ('{ name = "a", licence = "MIT", registry = "pypi", split = "train", why = "x" }', "version"),
        ("", "lists no packages"),
    ],
)
def test_a_wrong_manifest_entry_is_named(tmp_path, line, complaint):
    path = tmp_path / "manifest.toml"
    path.write_text(f"packages = [{line}]\n")
    with pytest.raises(CorpusError, match=complaint):
        manifest.load(path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("pkg/tests/test_a.py", "test"),
        ("pkg/core_test.py", "test"),
        ("test/test_json.py", "test"),
        ("pkg/human_eval/data.py", "evaluation set"),
        ("pip/_vendor/rich/x.py", "vendored"),
        ("lib/app.min.js", "built"),
        ("index.d.ts", "built"),
        ("pkg/contest.py", None),
        ("src/latest/protest.ts", None),
    ],
)
def test_paths_are_judged_by_what_they_hold(path, why):
    assert filters.refuse_path(path) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", "too short"),
        ("# This file is generated by a tool\n" + CODE, "generated"),
        (CODE + "\nx = '" + "ab " * 200 + "'\n", "long lines"),
        (CODE + "\nDATA = '" + "A" * 200 + "'\n", "data"),
        (CODE + "\n# from human_eval import x\n", "evaluation set"),
        ('"use strict";\nObject.defineProperty(exports, "__esModule", {});\n' + CODE, "compiled"),
        (CODE, None),
    ],
)
def test_texts_are_judged_by_what_they_are(text, why):
    assert filters.refuse_text(text) == why


def test_near_duplicates_are_seen_and_different_files_are_not(vocabulary):
    from engine.model import dedup

    def sketch(text: str):
        return dedup.sketch(np.array(vocabulary.encode(text), np.uint16))

    seen = dedup.Seen()
    assert seen.add(sketch(CODE))
    assert not seen.add(sketch(CODE.replace("folder", "directory", 3)))
    assert seen.add(sketch(OTHER))


def test_a_package_that_has_vanished_is_reported_by_name(tmp_path, monkeypatch):
    gone = package("gone")
    monkeypatch.setattr(
        fetch, "_client", lambda command, p: fetch.subprocess.CompletedProcess(command, 1, "", "ERROR: no")
    )
    with pytest.raises(fetch.PackageRefusedError, match=r"gone 1\.0: pip finds no wheel \(ERROR: no\)"):
        fetch.archive(gone, tmp_path)
    assert not list((tmp_path / "pypi").glob(gone.key))


def test_tarballs_give_their_licence_and_their_sources_in_a_fixed_order(tmp_path):
    path = tmp_path / "a-1.0.0.tgz"
    files = {"package.json": '{"license": "MIT"}', "src/b.ts": "let b = 1", "src/a.ts": "let a = 1", "README.md": "#"}
    tarball(path, files)
    npm = Package("a", "1.0.0", "MIT", "npm", "train", "a test")
    assert fetch.stated_licence(npm, path) == "MIT"
    assert list(fetch.sources(path, (".ts",))) == [("src/a.ts", b"let a = 1"), ("src/b.ts", b"let b = 1")]
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(fetch.PackageRefusedError, match="damaged"):
        list(fetch.sources(path, (".ts",)))
