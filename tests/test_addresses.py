"""Passwords in addresses are hidden, whatever the form."""

import pytest

from bpnet.inference.addresses import is_address, without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://10.0.0.1:554/stream", "rtsp://10.0.0.1:554/stream"),
        ("rtsp://admin:geheim@10.0.0.1:554/live", "rtsp://admin:***@10.0.0.1:554/live"),
        ("RTSP://admin:geheim@[fe80::1]:554/", "RTSP://admin:***@[fe80::1]:554/"),
        ("http://admin@host/live", "http://admin@host/live"),
        ("http://host/live?mail=a@b", "http://host/live?mail=a@b"),
        ("rtsp://admin:@host/live", "rtsp://admin:***@host/live"),
        ("rtmp://host/app live=1 pubPasswd=geheim", "rtmp://host/app live=1 pubPasswd=***"),
        ("http://h/v?user=a&password=geheim&n=1", "http://h/v?user=a&password=***&n=1"),
        ("http://h/v?Access_Token=geheim/a+b==", "http://h/v?Access_Token=***"),
        ("https://h/v?sig=geheim#part", "https://h/v?sig=***"),
        ("rtsp://h/user=a_password=geheim_channel=1", "rtsp://h/user=a_password=***"),
        ("clip.mp4", "clip.mp4"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_kept(address: str, shown: str) -> None:
    assert without_password(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://u:geheim@x@h/live",
        "rtsp://u:x/geheim@h/live",
        "rtsp://u:x?geheim@h/live",
        "rtsp://u:x#geheim@h/live",
        "rtsp://u:x geheim@h/live",
        "rtsp://u:12/geheim@h/live",
        "rtsp://u:geheim:x@h/live",
        "u:geheim@h:554/live",
        "[Errno 5] Input/output error: 'http://u:geheim@h/live?token=geheim'",
        "cannot open rtsp://u:geheim@a/1 nor rtsp://u:geheim@b/2",
        "http://h/v?apikey=geheim",
        "srt://h:9?passphrase=geheim",
    ],
)
def test_no_odd_password_is_left(address: str) -> None:
    assert "geheim" not in without_password(address)


def test_two_cameras_in_a_text_keep_their_names() -> None:
    said = without_password("neither rtsp://u:p@a/1 nor rtsp://v:q@b/2 answers")
    assert said == "neither rtsp://u:***@a/1 nor rtsp://v:***@b/2 answers"


@pytest.mark.parametrize(
    ("text", "there"),
    [("rtsp://h/x", True), ("udp://@:1234", True), ("a.mp4", False), ("file:///a.mp4", False)],
)
def test_files_are_no_addresses(text: str, there: bool) -> None:
    assert is_address(text) == there
