#!/usr/bin/env python3
"""10,000 recipients with every reason for being left out, over HTTP on the running stack: what preflight says, our ledger, the
provider's and the analytics have to agree to the last message, whoever opts out meanwhile.

Two campaigns to the same people: one that goes out at once, with caps, quiet hours, a budget, deletions, opt-outs while it is
sent, faults of the provider and a cancellation at the end; and one at a time of everybody's own clock, for some too late.
"""
import collections, csv, datetime, io, json, os, random, sys, threading, time

from bench_tools import call, finish, new_workspace, psql, sandbox, until

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
random.seed(SEED)
NUMBER = "+1347555" + f"{random.randrange(10_000):04}"
PRICE = 7900  # millionths of a dollar for each part
NOW = datetime.datetime.now(datetime.timezone.utc)


def check(what, found, expected):
    print(f"{'ok  ' if found == expected else 'FAIL'} {what}: {found}" + ("" if found == expected else f", expected {expected}"), flush=True)
    if found != expected:
        sys.exit(f"seed {SEED}")


def hours_west(hour):
    """Of Greenwich, of a place where it is this hour."""
    return (NOW.hour - hour + 36) % 24 - 12


def zone(west):
    """In Etc, west is positive."""
    return "Etc/GMT" + (f"{west:+}" if west else "")


# MARK: 10,000 people, in groups: what keeps each of them from getting the first campaign

SIZES = {
    "no_address": 300, "invalid_address": 200, "no_consent": 300, "opted_out": 300, "suppressed": 300, "over_cap": 300,
    "quiet_hours": 300, "campaign_cancelled": 200, "empty_text": 100, "text_too_long": 100, "template_failed": 100,
    "contact_deleted": 100, "address_changed": 100, "sent": 7000, "east": 300}
people = [(f"P{n}", group) for n, group in enumerate(g for g, size in SIZES.items() for _ in range(size))]
assert len(people) == 10_000
# Where it is noon, two at night and six in the morning, and an hour after noon.
NOON = hours_west(12)
WEST = {"quiet_hours": hours_west(2), "campaign_cancelled": hours_west(6), "east": NOON - 1}
WORDS = {"empty_text": "", "text_too_long": "x" * 1601}
# Three loops over 50 are more rounds than a text may take.
BODY = "{% for a in many %}{% for b in many %}{% for c in many %}.{% endfor %}{% endfor %}{% endfor %}{{ word }}"
workspace, key, _ = new_workspace(f"acceptance {SEED}")


def file(groups):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["external_id", "phone", "timezone", "group", "word"])
    for number, (name, group) in enumerate(people):
        if group in groups:
            phone = "" if group == "no_address" else f"+1202{5_000_000 + number}"
            writer.writerow([name, phone, zone(WEST.get(group, NOON)), group, WORDS.get(group, f"News for {name}")])
    return out.getvalue().encode()


def load():
    call("PATCH", "/api/settings", key, {
        "consent_mode": "opt_in", "quiet_hours_sms": "on", "frequency_caps": [{"channel": "sms", "at_most": 1, "per_hours": 24}],
        "prices": {"currency": "USD", "items": [{"channel": "sms", "amount_micros": PRICE}]},
        "stop_rules": {"failure_rate": None, "filtered_rate": None, "opt_out_rate": None, "complaint_rate": None}})
    rows = 0
    for groups, consent in ((set(SIZES) - {"no_consent"}, "?consent=sms"), ({"no_consent"}, "")):
        rows += finish(call("POST", "/api/contacts/import" + consent, key, file(groups), "text/csv")["job"]["id"], key)["result"]["created"]
    check("people imported", rows, 10_000)
    for name, group in people:
        if group == "template_failed":
            identity = psql(f"SELECT id FROM contacts WHERE workspace_id = '{workspace}' AND external_id = '{name}'")
            call("PATCH", f"/api/contacts/{identity}", key, {"attributes": {"many": list(range(50))}})
    listed = json.loads(psql(f"SELECT json_agg(json_build_array(external_id, id, phone)) FROM contacts WHERE workspace_id = '{workspace}'"))
    return {name: (identity, phone) for name, identity, phone in listed}


contacts = load()
group_of = {contacts[name][0]: group for name, group in people}
phone_of = {identity: phone for identity, phone in contacts.values()}
members = collections.defaultdict(list)
for name, group in people:
    members[group].append(contacts[name][0])


def sender(name, rate):
    accounts = {"account_sid": "AC" + f"{random.getrandbits(128):032x}", "auth_token": f"{random.getrandbits(128):032x}",
                "api_key_sid": "SK" + "f" * 32, "api_key_secret": "a" * 32}
    sandbox("POST", "/accounts", accounts)
    return call("POST", "/api/senders", key, {
        "name": name, "channel": "sms", "provider": "twilio", "from": NUMBER, "rate_parts_per_second": rate, "credentials": accounts})["id"]


def segment(name, match):
    return call("POST", "/api/segments", key, {"name": name, "rule": {"version": 1, "match": match}})["id"]


def draft(name, segment, sender, **members):
    return call("POST", "/api/campaigns", key, {
        "name": name, "channel": "sms", "segment_id": segment, "sender_id": sender, "body": BODY, **members})["id"]


def is_in(identity, status):
    return lambda: call("GET", f"/api/campaigns/{identity}", key)["status"] == status


def is_open(identity):
    return int(psql(f"SELECT count(*) FROM messages WHERE campaign_id = '{identity}' AND state IN ('pending', 'claimed', 'started')"))


def analytics(identity):
    return call("GET", f"/api/campaigns/{identity}/analytics", key)


def messages(identity):
    found, path = [], f"/api/campaigns/{identity}/messages?limit=200"
    while path:
        page = call("GET", path, key)
        found += page["items"]
        following = page["pagination"].get("next_cursor")
        path = following and f"/api/campaigns/{identity}/messages?limit=200&cursor={following}"
    return found


def settle(identity):
    """Until nothing is under way any more and every end has been told."""
    def ended():
        numbers = analytics(identity)
        over = numbers["delivered"] + numbers["undelivered"] + numbers["failed"] + numbers["unknown"]
        return over + sum(numbers["skipped"].values()) == numbers["recipients"] and numbers["unknown"] == 0 and numbers
    return until("the last callbacks", ended)


def agree(what, identity, size):
    """Our rows, the provider's and the counts, of a campaign that is over."""
    numbers = settle(identity)
    rows, ledger = messages(identity), sandbox("GET", "/ledger")["messages"]
    reasons = collections.Counter(row["skip_reason"] for row in rows if row["skip_reason"])
    states = collections.Counter(row["state"] for row in rows)
    check(f"{what}: a message for each member, one for each", [len(rows), len({row["contact_id"] for row in rows})], [size, size])
    check(f"{what}: analytics count the recipients", numbers["recipients"], size)
    check(f"{what}: analytics give the ledger's reasons", numbers["skipped"], dict(reasons))
    for state in ("delivered", "undelivered", "failed"):
        check(f"{what}: {state}, analytics and ledger", numbers[state], states[state])
    ours = {row["to"]: row for row in rows if row["sid"]}
    theirs = {message["to"]: message for message in ledger}
    check(f"{what}: nobody twice at the provider", len(theirs), len(ledger))
    check(f"{what}: of {len(theirs)} at the provider, those who are not our {len(ours)}, and of ours, not theirs",
          [sorted(set(theirs) - set(ours))[:5], sorted(set(ours) - set(theirs))[:5]], [[], []])
    wrong = [to for to in ours if (ours[to]["sid"], ours[to]["state"], ours[to]["parts"]) !=
             (theirs[to]["sid"], theirs[to]["status"], theirs[to]["parts"])]
    check(f"{what}: messages whose end, id or parts differ", wrong[:5], [])
    check(f"{what}: parts", numbers["parts"], sum(message["parts"] for message in ledger))
    return rows, reasons, numbers


# MARK: what came before

fast = sender("Before", 1000)
for name, group, plan in (("Wrong numbers", "invalid_address", {"reject": 1, "reject_code": 21211}), ("Last week", "over_cap", {})):
    sandbox("POST", "/faults", plan)
    before = draft(name, segment(name, {"field": "attributes.group", "op": "is", "value": group}), fast)
    call("PATCH", f"/api/campaigns/{before}", key, {"body": "Hello"})
    call("POST", f"/api/campaigns/{before}/start", key, {})
    until(name, is_in(before, "finished"))
    settle(before)
for identity in members["opted_out"]:
    call("POST", "/api/consent", key, {"contact_id": identity, "channel": "sms", "state": "opted_out", "source": "acceptance"})
for identity in members["suppressed"]:
    call("POST", "/api/suppressions", key, {"channel": "sms", "address": phone_of[identity], "reason": "manual"})
sandbox("DELETE", "/ledger")

# MARK: the first campaign

everybody = segment("Everybody", {"all": []})
slow = sender("Main", 1)
end = (NOW + datetime.timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
first = draft("First", everybody, slow, holdout_percent=5, send_until=end, budget={"amount": 2000, "currency": "USD"})
finish(call("POST", f"/api/segments/{everybody}/calculate", key)["job"]["id"], key)
preflight = call("POST", f"/api/campaigns/{first}/preflight", key)
waterfall = preflight["waterfall"]
check("preflight: members", waterfall["members"], 10_000)
for reason in ("no_address", "invalid_address", "no_consent", "opted_out", "suppressed"):
    check(f"preflight: {reason}", waterfall["skipped"].get(reason), SIZES[reason])
check("preflight: all of them", sum(waterfall["skipped"].values()) + waterfall["recipients"], 10_000)
check("preflight: there are samples of each", [s["reason"] for s in waterfall["steps"] if s["count"] and not s["sample"]], [])
check("preflight: the budget does not suffice", preflight["budget"]["suffices"], False)

call("POST", f"/api/campaigns/{first}/start", key, {})
until("freezing", lambda: call("GET", f"/api/campaigns/{first}", key)["status"] in ("sending", "paused"))
call("POST", f"/api/campaigns/{first}/pause", key, {})
rows = messages(first)
held = {row["contact_id"] for row in rows if row["skip_reason"] == "holdout"}
frozen = collections.Counter(row["skip_reason"] for row in rows if row["skip_reason"] and row["settled_at"] == row["created_at"])
predicted = {reason: count for reason, count in waterfall["skipped"].items() if reason not in ("over_cap", "quiet_hours")}
check("first: frozen as preflight said", dict(frozen), predicted)
early = {row["contact_id"] for row in rows if row["sid"]}
for identity in members["contact_deleted"]:
    call("DELETE", f"/api/contacts/{identity}", key)
for number, identity in enumerate(members["address_changed"]):
    call("PATCH", f"/api/contacts/{identity}", key, {"phone": f"+1303{5_000_000 + number}"})
sandbox("POST", "/faults", {"undelivered": 0.03, "failed": 0.02, "duplicates": 1, "reorder": True, "too_many": 0.02,
                            "bad_answer": 0.005, "reset": 0.005})
call("PATCH", f"/api/senders/{slow}", key, {"rate_parts_per_second": 400})

opt_outs = {}


def opt_out(candidates):
    """People leave while it is sent, in three ways; the instant is when we had the answer."""
    for number, identity in enumerate(candidates):
        if number % 3 == 0:
            call("POST", "/api/consent", key, {"contact_id": identity, "channel": "sms", "state": "opted_out", "source": "acceptance"})
        elif number % 3 == 1:
            sandbox("POST", "/inbound", {"from": phone_of[identity], "to": NUMBER, "body": "STOP"})
        else:
            call("POST", "/api/suppressions", key, {"channel": "sms", "address": phone_of[identity], "reason": "manual"})
        opt_outs[identity] = datetime.datetime.now(datetime.timezone.utc)
        time.sleep(random.random() * 0.06)


leaving = threading.Thread(target=opt_out, args=(random.sample(sorted(set(members["sent"]) - held), 300),))
call("POST", f"/api/campaigns/{first}/resume", key, {})
leaving.start()
until("the budget to be spent", is_in(first, "paused"))
now = call("GET", f"/api/campaigns/{first}", key)
check("paused, because", now["status_reason"], "budget_spent")
spent = int(psql(f"SELECT spent_micros FROM campaign_budgets WHERE campaign_id = '{first}'"))
check("the budget is not exceeded, and would not pay one more", 2000 * 10_000 - PRICE < spent <= 2000 * 10_000, True)
call("PATCH", f"/api/campaigns/{first}", key, {"budget": {"amount": 100_000, "currency": "USD"}})
call("POST", f"/api/campaigns/{first}/resume", key, {})
leaving.join()
waiting = set(members["campaign_cancelled"]) - held
until("only those who sleep to be left", lambda: is_open(first) == len(waiting))
call("POST", f"/api/campaigns/{first}/cancel", key, {})
until("the rest to be skipped", lambda: is_open(first) == 0)
rows, reasons, numbers = agree("first", first, 10_000)
first_reasons = reasons
for reason in ("over_cap", "quiet_hours"):
    check(f"first: {reason}, as preflight said", reasons[reason], waterfall["skipped"][reason])
def expected(row):
    """Why this one may have been left out; None: sent."""
    group = group_of[row["contact_id"]]
    if row["contact_id"] in held:
        return "holdout"
    return None if group in ("sent", "east") or row["contact_id"] in early else group
wrong = [(group_of[row["contact_id"]], row["skip_reason"]) for row in rows
         if row["contact_id"] not in opt_outs and row["skip_reason"] != expected(row)]
check("first: everybody's own reason", collections.Counter(wrong), collections.Counter())
by_contact = {row["contact_id"]: row for row in rows}
late = [identity for identity, at in opt_outs.items() if by_contact[identity]["started_at"]
        and datetime.datetime.fromisoformat(by_contact[identity]["started_at"].replace("Z", "+00:00")) > at]
check("first: nothing was started for somebody after they had left", late, [])
left_out = [by_contact[identity]["skip_reason"] for identity in opt_outs if not by_contact[identity]["started_at"]]
check("first: who left in time is left out for that", set(left_out) <= {"opted_out", "suppressed"} and len(left_out) > 0, True)
check("first: what was spent is what the provider counts",
      int(psql(f"SELECT spent_micros FROM campaign_budgets WHERE campaign_id = '{first}'")),
      # Who was turned away and left before the next attempt stays paid.
      PRICE * (numbers["parts"] + sum(1 for row in rows if row["skip_reason"] and row["attempt"])))

# MARK: the second, at a time of everybody's own clock

sandbox("POST", "/faults", {})
sandbox("DELETE", "/ledger")
call("PATCH", f"/api/senders/{slow}", key, {"rate_parts_per_second": 1000})
shown = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1, hours=-NOON)
second = draft("Second", everybody, slow, ignores_caps=True, respects_quiet_hours=False)
call("POST", f"/api/campaigns/{second}/schedule", key, {"at_local": shown.strftime("%Y-%m-%dT%H:%M"), "late": "skip"})
waterfall = call("POST", f"/api/campaigns/{second}/preflight", key)["waterfall"]
until("freezing", lambda: call("GET", f"/api/campaigns/{second}", key)["status"] == "sending")
frozen = collections.Counter(row["skip_reason"] for row in messages(second) if row["skip_reason"] and row["settled_at"] == row["created_at"])
check("second: frozen as preflight said", dict(frozen), waterfall["skipped"])
# Clocks west of noon are behind; what they will show has passed where it is tomorrow already.
clocks = {group: "campaign_cancelled" if west > NOON else "too_late" for group, west in WEST.items()}
check("second: too late", frozen["too_late"], sum(SIZES[group] for group in clocks if clocks[group] == "too_late"))
asleep = sum(SIZES[group] for group in clocks if clocks[group] == "campaign_cancelled")
until("only those whose clocks are behind to be left", lambda: is_open(second) == asleep)
call("POST", f"/api/campaigns/{second}/cancel", key, {})
until("the rest to be skipped", lambda: is_open(second) == 0)
rows, reasons, numbers = agree("second", second, 10_000 - len(members["contact_deleted"]))
elsewhere = {"over_cap": None, "address_changed": None, "sent": None, **clocks}
wrong = [(group_of[row["contact_id"]], row["skip_reason"]) for row in rows if row["contact_id"] not in opt_outs
         and row["skip_reason"] != elsewhere.get(group_of[row["contact_id"]], group_of[row["contact_id"]])]
check("second: everybody's own reason", collections.Counter(wrong), collections.Counter())
check("second: who had left gets nothing", {by["skip_reason"] for by in rows if by["contact_id"] in opt_outs} <= {"opted_out", "suppressed"}, True)
print(f"all agree (seed {SEED}); reasons seen: {', '.join(sorted(set(reasons) | set(first_reasons)))}")
