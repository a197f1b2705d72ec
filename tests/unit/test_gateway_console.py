"""The console's API: who has logged in sees and changes what is theirs, and it acts at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import BODIES, CHAT, MESSAGES, Running, running

from runbook_lib import sources


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    """A sandbox of its own, as these tests change its state."""
    with running(tmp_path / "sandbox") as found:
        yield found


class Desk:
    """Somebody at the console."""

    def __init__(self, run: Running, account: str = "team") -> None:
        told = run.client.get("/sandbox/state").json()["accounts"][account]
        login = {"email": told["email"], "password": told["password"]}
        found = run.client.post("/api/v1/auth/login", json=login).raise_for_status()
        self.run, self.headers = run, {"authorization": f"Bearer {token_in(found)}"}

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Send one request."""
        sent = {"json": body} if method in ("POST", "PUT") else {}
        return self.run.client.request(method, f"/api/v1/{path}", headers=self.headers, **sent)

    def got(self, method: str, path: str, **body: Any) -> Any:
        """What a request that must work gives."""
        return self.ask(method, path, **body).raise_for_status().json()["data"]

    def id_of(self, name: str) -> int:
        """Number of a key."""
        return next(key["id"] for key in self.got("GET", "keys")["items"] if key["name"] == name)


def token_in(found: httpx.Response) -> str:
    """The token of a login."""
    return str(found.json()["data"]["access_token"])


def call(run: Running, secret: str, path: str = CHAT) -> httpx.Response:
    """Make a call with a key."""
    headers = {"authorization": f"Bearer {secret}"}
    return run.client.post(path, headers=headers, json=BODIES[path])


def test_a_wrong_password_is_refused_in_the_consoles_shape(run: Running) -> None:
    """`code` is a number there, the symbol is the reason."""
    login = {"email": "team@example.com", "password": "guess"}
    found = run.client.post("/api/v1/auth/login", json=login)
    assert found.status_code == 401
    assert found.json()["code"] == 401
    assert found.json()["reason"] == "INVALID_CREDENTIALS"
    assert "x-client-request-id" not in found.headers


def test_a_key_does_not_open_the_console_and_a_token_ends(run: Running) -> None:
    """Keys and tokens are two things; a token lasts a day."""
    desk = Desk(run)
    key = {"authorization": f"Bearer {run.secret('prod-web')}"}
    assert run.client.get("/api/v1/keys", headers=key).json()["code"] == "INVALID_TOKEN"
    assert run.client.get("/api/v1/keys").json()["code"] == "UNAUTHORIZED"
    assert desk.ask("GET", "keys").status_code == 200
    run.act("POST", "clock", advance_s=86_401)
    assert desk.ask("GET", "keys").json()["code"] == "INVALID_TOKEN"


def test_a_rotation_at_the_console(run: Running) -> None:
    """Create, switch, delete: the new key works, the old one is unknown, the audit log says so."""
    desk = Desk(run)
    old = desk.id_of("prod-web")
    made = desk.got("POST", "keys", name="prod-web-v2", group_id=22, quota=3, rate_limit_1d=2)
    assert call(run, made["key"]).status_code == 200
    desk.got("DELETE", f"keys/{old}")
    assert call(run, run.secret("prod-web")).json()["code"] == "INVALID_API_KEY"
    assert desk.ask("GET", f"keys/{old}").json()["reason"] == "API_KEY_NOT_FOUND"
    acts = run.live.console.acts[-3:]
    assert [act.action for act in acts] == ["auth.login", "keys.create", "keys.delete"]
    assert acts[1].body == '{"group_id":22,"name":"prod-web-v2","quota":3,"rate_limit_1d":2}'
    assert {act.ip for act in acts} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"status": "inactive"}, "API_KEY_DISABLED", id="off"),
        pytest.param({"expires_at": "2020-01-01T00:00:00Z"}, "API_KEY_EXPIRED", id="expired"),
        pytest.param({"ip_whitelist": ["203.0.113.0/24"]}, "ACCESS_DENIED", id="address"),
        pytest.param({"quota": 0.0000001}, "API_KEY_QUOTA_EXHAUSTED", id="cap"),
        pytest.param({"rate_limit_5h": 0.0000001}, "rate_limit_exceeded", id="window"),
    ],
)
def test_an_edit_at_the_console_acts_at_once_and_can_be_taken_back(
    change: dict[str, Any], code: str, run: Running
) -> None:
    """One call later the key is stopped, and after the way back it works."""
    desk = Desk(run)
    number = desk.id_of("prod-web")
    assert call(run, run.secret("prod-web")).status_code == 200
    shown = desk.got("PUT", f"keys/{number}", **change)
    assert all(shown[name] == value for name, value in change.items() if name != "expires_at")
    call(run, run.secret("prod-web"))
    found = call(run, run.secret("prod-web")).json()
    assert (found.get("code") or found["error"]["type"]) == code
    back = {"status": "active", "expires_at": "", "ip_whitelist": [], "quota": 0}
    desk.got("PUT", f"keys/{number}", **back, rate_limit_5h=0)
    assert call(run, run.secret("prod-web")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"quota": -1}, 400),
        ({"quota": "NaN"}, 400),
        ({"quota": [1]}, 400),
        ({"expires_at": "soon"}, 400),
        ({"ip_whitelist": ["x"]}, 400),
        ({"ip_whitelist": 3}, 400),
        ({"status": "tired"}, 400),
        ({"group_id": 999}, 404),
        ({"status": "inactive", "quota": -1}, 400),
    ],
    ids=str,
)
def test_a_wrong_edit_is_refused_and_changes_nothing(
    sent: dict[str, Any], status: int, run: Running
) -> None:
    """The key works as before."""
    desk = Desk(run)
    assert desk.ask("PUT", f"keys/{desk.id_of('prod-web')}", **sent).status_code == status
    assert call(run, run.secret("prod-web")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"custom_key": "a" * 15}, "API_KEY_TOO_SHORT"),
        ({"custom_key": "a b" * 10}, "API_KEY_INVALID_CHARS"),
    ],
    ids=["short", "blanks"],
)
def test_a_secret_of_ones_own_has_rules(sent: dict[str, Any], reason: str, run: Running) -> None:
    """Sixteen letters at least, and only some of them."""
    assert Desk(run).ask("POST", "keys", name="x", **sent).json()["reason"] == reason


def test_two_keys_can_have_one_name(run: Running, tmp_path: Path) -> None:
    """Names are no ids: both work, both stand in the inventory."""
    desk = Desk(run)
    twin = desk.got("POST", "keys", name="prod-web", group_id=22, custom_key="twin-" * 4)
    assert twin["key"] == "twin-" * 4
    assert desk.ask("POST", "keys", name="y", custom_key="twin-" * 4).status_code == 409
    assert call(run, twin["key"]).status_code == 200
    assert call(run, run.secret("prod-web")).status_code == 200
    desk.got("DELETE", f"keys/{twin['id']}")
    assert call(run, run.secret("prod-web")).status_code == 200
    run.act("POST", "export")
    taken = sources.read(run.sandbox.folder / "keys.csv", tmp_path)[0]
    assert (taken.rows, taken.rejected) == (len(run.live.console.gateway.keys), 0)


def test_an_account_sees_only_its_own(run: Running) -> None:
    """Keys, rows and failed requests of another account are not there."""
    team, partner = Desk(run), Desk(run, "partner")
    call(run, run.secret("prod-web"))
    call(run, run.secret("partner-web"))
    run.act("PATCH", "keys/prod-web", disabled=True)
    call(run, run.secret("prod-web"))
    assert [key["name"] for key in partner.got("GET", "keys")["items"]] == ["partner-web"]
    assert team.got("GET", "usage")["total"] == partner.got("GET", "usage")["total"] == 1
    assert [desk.got("GET", "usage/errors")["total"] for desk in (team, partner)] == [1, 0]
    other = partner.ask("GET", f"usage?api_key_id={team.id_of('prod-web')}")
    assert other.status_code == 403
    assert partner.ask("DELETE", f"keys/{team.id_of('prod-web')}").status_code == 404


def test_the_list_is_paged_and_its_rows_hold_the_full_key(run: Running) -> None:
    """Sizes above 1000 are silently 20; who stores rows must strip the key."""
    desk = Desk(run)
    for _ in range(25):
        call(run, run.secret("prod-web"))
    sizes = {"0": 20, "7": 7, "1000": 25, "1001": 20, "abc": 20}
    for asked, size in sizes.items():
        assert len(desk.got("GET", f"usage?page_size={asked}")["items"]) == size
    page = desk.got("GET", "usage?page_size=10&page=3&nonsense=1&timezone=Nowhere/Here")
    assert (len(page["items"]), page["pages"], page["total"]) == (5, 3, 25)
    newest, oldest = (
        desk.got("GET", f"usage?page_size=1{order}")["items"][0]
        for order in ("", "&sort_order=asc")
    )
    assert newest["id"] > oldest["id"]
    assert newest["api_key"]["key"] == run.secret("prod-web")


def test_the_sums_of_the_console_are_the_sums_of_its_rows(run: Running) -> None:
    """By model, endpoint, day and hour: nothing is lost on the way."""
    desk = Desk(run)
    for path, name in ((CHAT, "prod-web"), (MESSAGES, "prod-assistant"), (CHAT, "prod-web")):
        call(run, run.secret(name), path)
    rows = desk.got("GET", "usage?page_size=1000")["items"]
    total = sum(row["actual_cost"] for row in rows)
    stats = desk.got("GET", "usage/stats")
    assert stats["total_requests"] == 3
    for sums in (
        stats["endpoints"],
        desk.got("GET", "usage/dashboard/models")["models"],
        desk.got("GET", "usage/dashboard/trend?granularity=hour")["trend"],
        desk.got("GET", "usage/dashboard/snapshot-v2")["trend"],
    ):
        assert sum(item["actual_cost"] for item in sums) == pytest.approx(total, abs=1e-10)
    days = desk.got("GET", f"user/api-keys/{desk.id_of('prod-web')}/usage/daily")["items"]
    assert sum(day["requests"] for day in days) == 2


def test_a_plan_is_bought_used_and_shown(run: Running) -> None:
    """The windows of a subscription fill with the calls of its key."""
    desk = Desk(run)
    while (found := call(run, run.secret("plan-assistant"), MESSAGES)).status_code == 200:
        pass
    assert found.json()["error"] == {
        "message": "daily usage limit exceeded",
        "type": "billing_error",
    }
    run.act("POST", "clock", advance_s=61)
    assert call(run, run.secret("plan-assistant"), MESSAGES).status_code == 429
    held = desk.got("GET", "subscriptions/progress")[0]["progress"]
    assert held["group_name"] == "plan-claude"
    assert held["daily"]["used_usd"] >= held["daily"]["limit_usd"] == 0.01
    assert held["daily"]["remaining_usd"] == 0
    assert 0 < held["weekly"]["percentage"] < 100


def test_the_console_asks_to_slow_down(run: Running) -> None:
    """Sixty lists in a minute, twenty logins from one address; the minute over, all is well."""
    desk = Desk(run)
    seen = [desk.ask("GET", "usage?page_size=1").status_code for _ in range(62)]
    assert seen.count(429) in (1, 2)
    assert desk.ask("GET", "keys").status_code == 200
    run.act("POST", "clock", advance_s=60)
    assert desk.ask("GET", "usage").status_code == 200


def test_passwords_and_tokens_are_in_no_file(run: Running) -> None:
    """What is left is fit to be shown to others."""
    desk = Desk(run)
    call(run, run.secret("prod-web"))
    run.act("POST", "export")
    token = desk.headers["authorization"].removeprefix("Bearer ")
    account = run.live.console.gateway.accounts["team"]
    words = (token, run.live.desk.password(account), run.secret("prod-web"))
    for path in run.sandbox.folder.rglob("*"):
        held = path.read_bytes() if path.is_file() else b""
        assert not any(word.encode() in held for word in words), path.name
