"""Variables that look like luad's, and hints that fit the command they are given for."""

from __future__ import annotations

from typing import Any

import pytest

from luad.cli.project.variables import misspelt_variables
from luad.config.settings.setting_keys import VARIABLES


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LUAD_TIMEZON", "LUAD_TIMEZONE"),
        ("LUAD_SOKET", "LUAD_SOCKET"),
        ("LUAD_STATEDIR", "LUAD_STATE_DIR"),
        ("LUAD_TOKENS", "LUAD_TOKEN"),
    ],
)
def test_a_misspelt_variable_is_a_warning(
    luad: Any, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    warning = f"warning: luad does not read the variable {name}; did you mean {meant}?"
    assert warning in luad("version").err
    assert warning not in luad("version", "-q").err


def test_variables_that_luad_reads_and_foreign_ones_are_no_warning() -> None:
    assert misspelt_variables([*VARIABLES, "LUAD_RUN_ID", "LUAD_TOKEN", "LUAD_GREENHOUSE"]) == []


def test_the_hint_of_metadata_is_of_that_command(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/weekly"] = {"id": "job_1", "name": "weekly"}
    result = luad("metadata", "weekly", "x")
    assert result.code == 2
    assert "`x` has no `=`" in result.err
    assert "hint: write it like  luad metadata weekly region=emea" in result.err


@pytest.mark.parametrize(
    ("tag", "words"),
    [("nosuch", "the tags are: money night"), ("nigth", "did you mean `night`?")],
)
def test_list_names_a_tag_that_no_job_has(luad: Any, peer: Any, tag: str, words: str) -> None:
    jobs = [{"name": each, "tags": [each], "status": "active"} for each in ("money", "night")]
    peer.answers["GET /jobs"] = {"jobs": jobs, "hidden_dynamic": 0, "next_cursor": None}
    assert f"no job here has the tag `{tag}`  ({words})" in luad("list", "-t", tag).err
    assert "has the tag" not in luad("list", "-t", "night").err


def test_revoking_a_token_that_is_not_there_asks_nothing(luad: Any, peer: Any) -> None:
    peer.answers["GET /tokens"] = {"tokens": [{"name": "ci", "created_by": "", "created_at": ""}]}
    result = luad("token", "revoke", "zzz")
    assert result.code == 3
    assert "no token `zzz`" in result.err
    assert "Revoke" not in result.err
    assert "did you mean `ci`?" in luad("token", "revoke", "cii").err
