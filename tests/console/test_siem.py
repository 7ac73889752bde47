"""SIEM targets made and changed in a browser: every option of every kind, by keyboard, in both themes and languages."""

import json
from typing import Any

import pytest

from tests.console.conftest import AXE, OpenPage, Watched
from tests.support.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]

TOKENS = "https://login.microsoftonline.com/t/oauth2/v2.0/token"


def target(lab: Lab, name: str) -> dict[str, Any]:
    items = lab.running()[0].ask("/api/v1/siem/targets", token=lab.new_token()).body["items"]
    (found,) = [one for one in items if one["name"] == name]
    return dict(found)


def begun(open_page: OpenPage, **options: Any) -> Watched:
    watched = open_page(**options)
    watched.sign_in("sue") if options.get("locale", "en-GB") != "de-DE" else signed_in_german(watched)
    watched.open("siem")
    return watched


def signed_in_german(watched: Watched) -> None:
    watched.open("")
    watched.page.get_by_label("Benutzername").fill("sue")
    watched.page.get_by_label("Kennwort").fill("correct horse battery staple")
    watched.page.get_by_role("button", name="Anmelden").click()
    watched.page.get_by_role("heading", level=1).wait_for()


def typed(watched: Watched, fields: dict[str, str]) -> None:
    for label, text in fields.items():
        watched.page.get_by_role("dialog").get_by_label(label, exact=True).fill(text)


def saved(watched: Watched, name: str) -> None:
    watched.page.get_by_role("dialog").get_by_role("button", name="Save").click()
    watched.page.get_by_role("dialog").wait_for(state="detached")
    watched.page.get_by_role("cell", name=name).first.wait_for()


def readable(watched: Watched) -> list[str]:
    flaws = []
    for theme in ("light", "dark") if AXE.exists() else ():
        watched.page.emulate_media(color_scheme=theme)
        flaws += [f"{theme}: {one}" for one in watched.axe()]
        watched.shot(f"siem-dialog-{theme}")
    return flaws


def test_a_sentinel_target_with_all_that_it_needs(open_page: OpenPage, lab: Lab) -> None:
    watched = begun(open_page)
    page = watched.page
    page.get_by_role("button", name="New target").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="New SIEM target")
    box.get_by_label("Kind").select_option("sentinel")
    assert box.get_by_label("Token of the collector").count() == 0, "which is Splunk's"
    assert box.get_by_label("Format").locator("option").all_inner_texts() == ["json", "ocsf"]
    assert readable(watched) == []
    typed(
        watched,
        {
            "Name": "sentinel 1",
            "Address": "https://dce.example.com",
            "Address for access tokens": TOKENS,
            "Application (client) ID": "app-1",
            "Client secret": "s3cret",
            "Data collection rule, its immutable ID": "dcr-1",
            "Stream": "Custom-RpPam_CL",
            "Events at one time, at most": "250",
            "Bytes at one time, at most": "500000",
            "Events wait for more of them (seconds)": "0",
            "File of its authorities, on every node (optional)": "/etc/rppam/ca.pem",
        },
    )
    box.get_by_label("Format").select_option("ocsf")
    box.get_by_label("Deliver events").uncheck()
    saved(watched, "sentinel 1")
    made = target(lab, "sentinel 1")
    assert (made["kind"], made["format"], made["hasSecret"], made["enabled"]) == ("sentinel", "ocsf", True, False)
    assert made["options"] == {
        "batchSize": 250, "batchBytes": 500_000, "flushSeconds": 0, "verifyTls": True, "caPath": "/etc/rppam/ca.pem",
        "tokenUrl": TOKENS, "clientId": "app-1", "ruleId": "dcr-1", "stream": "Custom-RpPam_CL", "acknowledge": True,
    }  # fmt: skip
    page.get_by_role("button", name="Change sentinel 1").click()
    box = page.get_by_role("dialog", name="sentinel 1")
    assert box.get_by_label("Data collection rule").input_value() == "dcr-1"
    assert box.get_by_label("Client secret").input_value() == ""
    box.get_by_label("Check the certificate").uncheck()
    assert box.get_by_label("File of its authorities").count() == 0
    box.get_by_label("Stream").fill("Custom-Other_CL")
    saved(watched, "sentinel 1")
    changed = target(lab, "sentinel 1")
    assert changed["options"] == made["options"] | {"verifyTls": False, "stream": "Custom-Other_CL"}
    assert changed["hasSecret"], "left empty, it stays"


def test_a_splunk_target_by_keyboard_alone(open_page: OpenPage, lab: Lab) -> None:
    watched = begun(open_page)
    page = watched.page
    page.get_by_role("button", name="New target").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="New SIEM target").wait_for()
    page.keyboard.type("splunk 1")
    page.keyboard.press("Tab")
    page.keyboard.type("Spl")
    page.keyboard.press("Tab")
    page.keyboard.type("https://splunk.example.com:8088")
    page.keyboard.press("Tab")
    page.keyboard.type("t0ken")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # without the indexer's acknowledgement
    assert readable(watched) == []
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("cell", name="splunk 1").first.wait_for()
    made = target(lab, "splunk 1")
    assert (made["kind"], made["url"], made["hasSecret"]) == ("splunk", "https://splunk.example.com:8088", True)
    assert made["options"]["acknowledge"] is False
    assert "t0ken" not in json.dumps(made)


def test_what_the_server_refuses_is_said_in_the_dialog_and_what_was_typed_stays(open_page: OpenPage) -> None:
    watched = begun(open_page)
    page = watched.page
    page.get_by_role("button", name="New target").click()
    box = page.get_by_role("dialog", name="New SIEM target")
    typed(watched, {"Name": "wrong", "Address": "https://logs.example.com"})
    box.get_by_role("button", name="Save").click()
    box.get_by_text("url: expected tls://HOST:PORT").wait_for()
    assert box.get_by_label("Name", exact=True).input_value() == "wrong"
    page.keyboard.press("Escape")


def test_the_dialog_speaks_german(open_page: OpenPage) -> None:
    watched = begun(open_page, locale="de-DE")
    page = watched.page
    page.get_by_role("button", name="Neues Ziel").click()
    box = page.get_by_role("dialog", name="Neues SIEM-Ziel")
    box.get_by_label("Art", exact=True).select_option("sentinel")
    for label in ("Adresse für Zugriffstoken", "Geheimnis der Anwendung", "Zertifikat prüfen", "Bytes auf einmal"):
        box.get_by_label(label).wait_for()
    assert readable(watched) == []
    watched.shot("siem-dialog-german")
