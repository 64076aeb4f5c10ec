"""A baseline is found by every name that it may have, and runs from a checkout and an environment of its own."""

import shutil
from pathlib import Path

import pytest

from bench.compare import CompareError, checkout
from tests.integration.bench.compare.repository import Repository


def nothing(_line: str) -> None:
    pass


def test_a_commit_is_found_by_its_number_a_branch_and_a_tag(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "--annotate", "v0.1.0", "--message", "the first")
    repository.commit("Second")
    for name in (first, first[:7], "v0.1.0", "HEAD~1"):
        assert checkout.find(repository.root, name) == checkout.Revision(name, first)
    assert checkout.find(repository.root, "main").commit == repository.git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["v1.2.3", "1.2.3"])
def test_a_release_without_a_tag_is_found_by_its_commit(repository: Repository, name: str) -> None:
    repository.commit("Prepare Release 1.2.3")
    release = repository.commit("Release 1.2.3")
    repository.commit("Release 1.2.30")
    repository.commit("Release 1x2.3")
    assert checkout.find(repository.root, name) == checkout.Revision(name, release)


def test_a_tag_is_believed_before_a_subject(repository: Repository) -> None:
    tagged = repository.git("rev-parse", "HEAD")
    repository.git("tag", "v1.2.3")
    repository.commit("Release 1.2.3")
    assert checkout.find(repository.root, "v1.2.3").commit == tagged


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "'nowhere' is no revision of this repository: name a tag, a branch, a commit or a release"),
        ("0000000", "'0000000' is no revision"),
        ("--all", "'--all' is no revision"),
        ("v9.9.9", "there is no tag v9.9.9 and no commit 'Release 9.9.9'"),
    ],
)
def test_a_revision_that_is_not_there_is_named(repository: Repository, name: str, message: str) -> None:
    with pytest.raises(CompareError, match=message):
        checkout.find(repository.root, name)


def test_where_there_is_no_repository_git_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(CompareError, match="git rev-parse failed: fatal: not a git repository"):
        checkout.describe(tmp_path)


def test_the_present_code_is_described_with_whether_it_was_changed(repository: Repository) -> None:
    short = repository.git("rev-parse", "--short", "HEAD")
    assert checkout.describe(repository.root) == short
    repository.costs(9.0)
    assert checkout.describe(repository.root) == f"{short} with uncommitted changes"


def test_a_baseline_has_its_own_files_and_its_own_environment(repository: Repository) -> None:
    first = checkout.find(repository.root, "HEAD")
    repository.installs("two")
    repository.write("later.txt", "later")
    repository.commit("Second")
    said: list[str] = []
    directory = checkout.prepare(repository.root, first, said.append)
    assert directory == repository.root / ".build" / "baseline" / first.commit[:7]
    assert not (directory / "later.txt").exists()
    assert (directory / ".venv" / "package").read_text() == "one\n"
    assert "installing one" in said
    assert repository.git("status", "--porcelain") == ""


def test_a_baseline_is_kept_for_the_next_comparison(repository: Repository) -> None:
    revision = checkout.find(repository.root, "HEAD")
    directory = checkout.prepare(repository.root, revision, nothing)
    (directory / ".venv" / "kept").touch()
    said: list[str] = []
    assert checkout.prepare(repository.root, revision, said.append) == directory
    assert (directory / ".venv" / "kept").exists()
    assert not any("checking" in line for line in said)


def test_a_baseline_is_made_anew_when_it_was_removed(repository: Repository) -> None:
    revision = checkout.find(repository.root, "HEAD")
    directory = checkout.prepare(repository.root, revision, nothing)
    shutil.rmtree(repository.root / ".build")
    assert checkout.prepare(repository.root, revision, nothing) == directory
    assert (directory / "bench" / "click.py").exists()


def test_a_baseline_that_was_changed_is_not_measured(repository: Repository) -> None:
    revision = checkout.find(repository.root, "HEAD")
    directory = checkout.prepare(repository.root, revision, nothing)
    (directory / "bench" / "click.py").write_text("faster")
    remedy = f"git worktree remove --force .build/baseline/{revision.commit[:7]}"
    with pytest.raises(CompareError, match=rf"of HEAD has been changed \(bench/click.py\): {remedy}"):
        checkout.prepare(repository.root, revision, nothing)
    repository.git(*remedy.split()[1:])
    checkout.prepare(repository.root, revision, nothing)


def test_another_commit_in_its_place_is_not_measured(repository: Repository) -> None:
    revision = checkout.find(repository.root, "HEAD")
    directory = checkout.prepare(repository.root, revision, nothing)
    repository.commit("Second")
    repository.git("-C", str(directory), "checkout", "--quiet", "--detach", "main")
    with pytest.raises(CompareError, match="another commit than HEAD is checked out"):
        checkout.prepare(repository.root, revision, nothing)


def test_a_directory_in_its_place_is_not_taken_for_a_checkout(repository: Repository) -> None:
    revision = checkout.find(repository.root, "HEAD")
    directory = repository.root / ".build" / "baseline" / revision.commit[:7]
    directory.mkdir(parents=True)
    with pytest.raises(CompareError, match="is no checkout: remove it"):
        checkout.prepare(repository.root, revision, nothing)


def test_an_environment_that_cannot_be_built_is_told_with_its_last_words(repository: Repository) -> None:
    repository.write("Makefile", "bootstrap-bench:\n\t@echo no wheel of tiny; exit 3\n")
    repository.commit("Broken")
    revision = checkout.find(repository.root, "HEAD")
    with pytest.raises(CompareError, match=r"environment of HEAD cannot be built(.|\n)*no wheel of tiny"):
        checkout.prepare(repository.root, revision, nothing)


def test_a_revision_that_has_no_environment_for_benches_is_told_so(repository: Repository) -> None:
    repository.write("Makefile", "run:\n")
    repository.commit("Old")
    with pytest.raises(CompareError, match=r"cannot be built(.|\n)*No rule to make target"):
        checkout.prepare(repository.root, checkout.find(repository.root, "HEAD"), nothing)


def test_programs_of_a_checkout_are_led_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "GIT_DIR", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "astray")
    monkeypatch.setenv("LANG", "C.UTF-8")
    seen = checkout.environment()
    assert "astray" not in seen.values()
    assert seen["LANG"] == "C.UTF-8"
