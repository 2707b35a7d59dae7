"""Values that the daemon masks as its own secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from luad.config.users.user_file import load_users
from luad.core.model import Ending, EndKind, RunError
from luad.daemon.masking import SecretMask
from luad.logs.redact import Redactor


def test_variables_that_tell_and_credentials_are_secrets_and_the_way_to_a_file_is_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "smtp").write_text("hunter22\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("")
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "API_TOKEN": "s3cret-one",
        "TLS_KEY": str(tmp_path / "smtp"),
        "MODE": "production",
    }
    redactor = Redactor()
    SecretMask(redactor, environ)
    text = f"hunter22 s3cret-one {tmp_path}/smtp production"
    assert redactor.mask(text) == f"*** *** {tmp_path}/smtp production"


def test_what_a_channel_refers_to_is_a_secret_once_somebody_has_that_channel() -> None:
    redactor = Redactor()
    secrets = SecretMask(redactor, {"HOOK": "abcdefgh", "HOST": "local"})
    assert redactor.mask("abcdefgh") == "abcdefgh"
    file = b'id: ann\nchannels: [{type: webhook, url: "https://${HOST}.example/${HOOK}/${GONE}"}]\n'
    secrets.note_users(load_users("a.yaml", file).users)
    assert redactor.mask("local abcdefgh") == "local ***"


def test_an_ending_keeps_what_is_no_secret_as_it_was() -> None:
    secrets = SecretMask(Redactor(), {"API_TOKEN": "s3cret-one"})
    plain = Ending(EndKind.RETURNED, 0, result_json='{"a":  [1, "b"]}')
    assert secrets.mask_ending("run_1", plain) is plain
    error = RunError("ValueError", "s3cret-one", "at s3cret-one")
    ending = Ending(EndKind.RAISED, 0, error=error, result_json='["s3cret-one", "ä"]')
    hidden = secrets.mask_ending("run_1", ending)
    assert hidden.error == RunError("ValueError", "***", "at ***")
    assert hidden.result_json == '["***", "ä"]'


@pytest.mark.parametrize(
    "secret", ["s3cret-one", "pässwört", 'quo"te\\d', "two\nlines", "12345678"]
)
def test_a_secret_is_found_in_a_result_however_json_writes_it(secret: str) -> None:
    secrets = SecretMask(Redactor(), {"API_TOKEN": secret})
    value = {"a": [f"x{secret}x"], secret: int(secret) if secret.isdigit() else None}
    ending = Ending(EndKind.RETURNED, 0, result_json=json.dumps(value, ensure_ascii=False))
    hidden = secrets.mask_ending("run_1", ending).result_json
    assert hidden is not None
    expected = {"a": ["x***x"], "***": "***" if secret.isdigit() else None}
    assert json.loads(hidden) == expected


def test_the_type_of_an_error_is_masked_too() -> None:
    secrets = SecretMask(Redactor(), {"API_TOKEN": "s3cret_one"})
    ending = Ending(EndKind.RAISED, 0, error=RunError("Errors3cret_one", "no"))
    hidden = secrets.mask_ending("run_1", ending).error
    assert hidden == RunError("Error***", "no")


def test_the_forms_of_a_secret_are_masked_in_lines_and_results() -> None:
    secrets = SecretMask(Redactor(), {"API_TOKEN": 'pa"ss/w+rd'})
    line = {"message": "GET /?t=pa%22ss%2Fw%2Brd", "exception": repr("pa\"ss/w+rd'")}
    secrets.mask_line("run_1", line)
    assert line == {"message": "GET /?t=***", "exception": "'***\\''"}
    ending = Ending(EndKind.RETURNED, 0, result_json=json.dumps({"a": json.dumps('pa"ss/w+rd')}))
    hidden = secrets.mask_ending("run_1", ending).result_json
    assert hidden == json.dumps({"a": '"***"'})
