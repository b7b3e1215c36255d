#!/usr/bin/env python3
"""The main job with 64,000 contacts, over HTTP alone, on a stack that `make run` started: each number is checked.

CONTACTS names the file: Hillstrom's e-mail challenge of 2008 (public), with made-up ids, addresses and numbers.
"""
import collections, http.client, json, os, pathlib, sys, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = pathlib.Path(os.environ.get("MUSTER_RUN_DIR", ROOT / ".run"))
ENV = dict(line.split("=", 1) for line in (RUN / "env").read_text().splitlines() if "=" in line)
URL, SANDBOX = (urllib.parse.urlsplit(ENV[name]) for name in ("MUSTER_URL", "MUSTER_SANDBOX_URL"))
CONTACTS = pathlib.Path(os.environ.get("CONTACTS", next(
    (path for path in (ROOT / "data", ROOT.parent / "data", ROOT.parent / "shared" / "data") if path.is_dir()), ROOT)
    / "hillstrom_contacts.csv"))


def call(method, path, body=None, content_type="application/json", key=ENV["MUSTER_API_KEY"]):
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=300)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    connection.request(method, path, data, headers | ({"Content-Type": content_type} if data is not None else {}))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {text.decode()[:500]}")
    return json.loads(text) if text else None


def check(what, found, expected):
    print(f"{'ok  ' if found == expected else 'FAIL'} {what}: {found}" + ("" if found == expected else f", expected {expected}"), flush=True)
    if found != expected:
        sys.exit(1)


def until(what, ask, seconds=120):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if value := ask():
            return value
        time.sleep(0.1)
    sys.exit(f"waited {seconds} s in vain for {what}")


def load():
    job = call("POST", "/api/contacts/import", CONTACTS.read_bytes(), "text/csv")["job"]["id"]
    def ended():
        now = call("GET", f"/api/jobs/{job}")
        return now if now["state"] in ("succeeded", "failed", "cancelled") else None
    return until("the import", ended)["result"]


def field(name, operator, value):
    return {"field": f"attributes.{name}", "op": operator, "value": value}


if not CONTACTS.exists():
    sys.exit(f"{CONTACTS} is absent: CONTACTS names the file")
result = load()
check("rows imported, rejected", [result["rows"], result["rejected"]], [64000, 0])
result = load()
check("the same file again changes nothing", [result["unchanged"], result["created"], result["updated"]], [64000, 0, 0])

high = {"version": 1, "match": {"all": [field("channel", "is", "Web"), field("history", "at_least", 500)]}}
recent = {"version": 1, "match": {"all": [
    field("channel", "is_any_of", ["Phone", "Multichannel"]), field("newbie", "is", 0), field("recency", "at_most", 3)]}}
check("web with a history of 500 or more", call("POST", "/api/segments/preview", {"rule": high})["count"], 2456)
check("phone or multichannel, not new, recent", call("POST", "/api/segments/preview", {"rule": recent})["count"], 5759)

name = f"Acceptance {time.time():.0f}"
segment = call("POST", "/api/segments", {"name": name, "rule": high})["id"]
campaign = call("POST", "/api/campaigns", {
    "name": name, "channel": "sms", "segment_id": segment, "sender_id": ENV["MUSTER_SENDER_ID"], "body": "News for you. Reply STOP to leave."})["id"]
call("DELETE", f"{SANDBOX.path}/ledger", key=None)
call("POST", f"/api/campaigns/{campaign}/start", {})
until("the campaign to finish", lambda: call("GET", f"/api/campaigns/{campaign}")["status"] == "finished")
analytics = f"/api/campaigns/{campaign}/analytics"
def settled():
    now = call("GET", analytics)
    return now if now["delivered"] + now["undelivered"] + now["failed"] == now["sent"] else None
numbers = until("the callbacks", settled)
ledger = call("GET", f"{SANDBOX.path}/ledger", key=None)["messages"]
check("frozen", numbers["recipients"], 2456)
check("in the provider's ledger: all but the skipped", len(ledger), 2456 - sum(numbers["skipped"].values()))
check("nobody twice", len({message["to"] for message in ledger}), len(ledger))
states = collections.Counter(message["status"] for message in ledger)
for state in ("delivered", "undelivered", "failed"):
    check(f"{state}, as the provider says", numbers[state], states[state])

call("POST", f"{SANDBOX.path}/inbound", {"from": ledger[0]["to"], "to": ledger[0]["from"], "body": "When does the sale end?"}, key=None)
call("POST", f"{SANDBOX.path}/inbound", {"from": ledger[1]["to"], "to": ledger[1]["from"], "body": "Stop please"}, key=None)
numbers = call("GET", analytics)
check("replied, opted out", [numbers["replied"], numbers["opted_out"]], [2, 1])
preflight = call("POST", "/api/campaigns/" + call("POST", "/api/campaigns", {
    "name": name + " again", "channel": "sms", "segment_id": segment, "sender_id": ENV["MUSTER_SENDER_ID"], "body": "Again"})["id"] + "/preflight")
check("whoever said stop is left out of the next", preflight["waterfall"]["skipped"].get("opted_out", 0) >= 1, True)
