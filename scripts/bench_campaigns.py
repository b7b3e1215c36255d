"""Campaigns beside what they would cost without us: sending, a sender's rate, freezing, webhooks, and the queue of jobs."""
import base64, hashlib, hmac, json, os, pathlib, random, re, signal, statistics, subprocess, sys, tempfile, time, urllib.parse, uuid

from bench_tools import ENV, ROOT, ROUNDS, RUN, SECONDS, alternate, call, conninfo, finish, new_workspace, pgbench, psql, remove, report, results
from bench_tools import sandbox, statement, until, with_values, wrk

PROGRAMS = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", ROOT / ".build/release"))
CONNECTIONS = 64
ACCOUNT = {"account_sid": "AC" + "d" * 32, "auth_token": "e" * 32, "api_key_sid": "SK" + "f" * 32, "api_key_secret": "a" * 32}
FROM = "+12025550100"


def environment(role):
    """Of a process beside those of the stack."""
    return {**os.environ, "MUSTER_DATABASE": conninfo(role), "MUSTER_PUBLIC_URL": ENV["MUSTER_URL"], "MUSTER_LOG_LEVEL": "error",
            "MUSTER_SEALING_KEY_FILE": ENV.get("MUSTER_SEALING_KEY_FILE", str(RUN / "sealing-key")),
            "MUSTER_TWILIO_URL": ENV["MUSTER_SANDBOX_URL"]}


# MARK: sending

class Mailing:
    """A workspace with people, a sender and a segment of all of them."""

    def __init__(self, name, count, rate):
        self.workspace, self.token, _ = new_workspace(name)
        people = "external_id,phone,name\n" + "".join(f"B{n},+1202{5_000_000 + n},Reader {n}\n" for n in range(count))
        finish(call("POST", "/api/contacts/import", self.token, people.encode(), "text/csv")["job"]["id"], self.token)
        sandbox("POST", "/accounts", ACCOUNT)
        self.sender = call("POST", "/api/senders", self.token, {
            "name": "bench", "channel": "sms", "provider": "twilio", "from": FROM, "rate_parts_per_second": rate, "credentials": ACCOUNT})["id"]
        self.segment = call("POST", "/api/segments", self.token, {"name": "All", "rule": {"version": 1, "match": {"all": []}}})["id"]

    def start(self):
        campaign = call("POST", "/api/campaigns", self.token, {
            "name": f"Bench {time.time()}", "channel": "sms", "segment_id": self.segment, "sender_id": self.sender,
            "body": "Hi {{ name }}, news for you."})["id"]
        call("POST", f"/api/campaigns/{campaign}/start", self.token, {})
        return campaign

    def rate(self):
        """Messages a second, from the first that was sent to the last."""
        sandbox("DELETE", "/ledger")
        campaign = self.start()
        until("the first message", lambda: sent(campaign))
        started, already = time.time(), sent(campaign)
        until("the end", lambda: call("GET", f"/api/campaigns/{campaign}", self.token)["status"] == "finished")
        return (sent(campaign) - already) / (time.time() - started)


def sent(campaign):
    return int(psql(f"SELECT count(*) FROM messages WHERE campaign_id = '{campaign}' AND sent_at IS NOT NULL"))


def bare(count):
    """The same requests by the same client, without a queue or a ledger."""
    sandbox("DELETE", "/ledger")
    done = subprocess.run([PROGRAMS / "bench-client", "send", ENV["MUSTER_SANDBOX_URL"], ACCOUNT["account_sid"], ACCOUNT["api_key_sid"],
                           ACCOUNT["api_key_secret"], FROM, str(count)], text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"bench-client: {done.stdout} {done.stderr}")
    return float(done.stdout)


def send():
    count = 10_000
    mailing = Mailing("send", count, 10_000)
    # What comes back is measured by itself.
    sandbox("POST", "/faults", {"drop_callbacks": 1})
    rates, baseline = alternate(mailing.rate, lambda: bare(count))
    report("send, of the bare client", rates, baseline, 0.7, "messages/s")
    report("send", rates, None, 1000, "messages/s")
    sandbox("POST", "/faults", {})
    report("send, while its callbacks come", [mailing.rate() for _ in range(3)], None, 500, "messages/s")


def rate():
    """Four workers share one sender, as they would on four machines."""
    rate, seconds = 200, 20
    mailing = Mailing("rate", rate * seconds, rate)
    sandbox("POST", "/faults", {"drop_callbacks": 1})
    others = [subprocess.Popen([PROGRAMS / "muster-worker"], env=environment("muster_worker"), stdin=subprocess.DEVNULL) for _ in range(3)]
    kept, most = [], []
    # As migration 0115 has it: of a burst of a second the bucket keeps a quarter back.
    burst, saved = rate, 0.75 * rate
    try:
        for _ in range(max(3, ROUNDS // 2)):
            mailing.rate()
            times = sorted(map(instant, (message["accepted_at"] for message in sandbox("GET", "/ledger")["messages"])))
            # What the bucket held was there before.
            kept.append((len(times) - saved) / (times[-1] - times[0]) / rate)
            first, widest = 0, 0
            for last, time_of_last in enumerate(times):
                while times[first] <= time_of_last - 1:
                    first += 1
                widest = max(widest, last - first + 1)
            most.append(widest / (rate + burst))
    finally:
        for process in others:
            process.terminate()
        for process in others:
            process.wait()
        sandbox("POST", "/faults", {})
    report("rate kept by four workers", kept, None, 0.97, "of R")
    report("most in any second", most, None, 1, "of R + burst", higher_is_better=False)


def instant(text):
    """Seconds of an RFC 3339 instant in UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) + float("0." + (fraction or "0"))


def freeze():
    """The audience of a campaign against copying its rows as they are."""
    count = int(1_000_000 * float(os.environ.get("SCALE", "1")))
    mailing = Mailing("freeze", 1, 1)
    psql(f"""
        SET session_replication_role = replica; SET synchronous_commit = off;
        INSERT INTO contacts (workspace_id, ordinal, external_id, phone, name)
        SELECT '{mailing.workspace}', n, 'F' || n, '+1303' || 5000000 + n, 'Reader ' || n FROM generate_series(2, {count}) n;
        UPDATE contact_ordinals SET last_ordinal = {count} WHERE workspace_id = '{mailing.workspace}';""", "postgres")
    psql("VACUUM (ANALYZE) contacts", "postgres")
    seconds, baseline = [], []
    for _ in range(max(3, ROUNDS // 2)):
        campaign = mailing.start()
        # Nobody is to send meanwhile; freezing is as long whoever the sender is.
        psql(f"UPDATE senders SET status = 'suspended', status_reason = 'bench' WHERE id = '{mailing.sender}'", "postgres")
        until("freezing", lambda: psql(f"SELECT status FROM campaigns WHERE id = '{campaign}'") == "paused")
        seconds.append(time.time() - float(psql(f"SELECT extract(epoch FROM frozen_at) FROM campaigns WHERE id = '{campaign}'")))
        psql(f"UPDATE senders SET status = 'active', status_reason = NULL WHERE id = '{mailing.sender}'", "postgres")
        if int(psql(f"SELECT count(*) FROM messages WHERE campaign_id = '{campaign}'")) != count:
            sys.exit("freeze: not everybody")
        psql("DROP TABLE IF EXISTS bench_messages; CREATE TABLE bench_messages (LIKE messages INCLUDING ALL)", "postgres")
        started = time.time()
        psql(f"INSERT INTO bench_messages SELECT * FROM messages WHERE workspace_id = '{mailing.workspace}' AND campaign_id = '{campaign}'",
             "postgres")
        baseline.append(time.time() - started)
        psql(f"""SET session_replication_role = replica; DROP TABLE bench_messages;
                 DELETE FROM messages WHERE workspace_id = '{mailing.workspace}';
                 DELETE FROM campaigns WHERE workspace_id = '{mailing.workspace}';""", "postgres")
        psql("VACUUM messages", "postgres")
    remove(mailing.workspace)
    report("freezing, of a bare INSERT", seconds, baseline, 2, "s", higher_is_better=False)


# MARK: webhooks

def wrk_p99(path, lua):
    """Milliseconds."""
    out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", lua, ENV["MUSTER_URL"] + path],
                         text=True, capture_output=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"wrk {path}: {out}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", out).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def webhook():
    workspace, token, _ = new_workspace("webhook")
    secret = "0123456789abcdef0123456789abcdef"
    account = "AC" + "a" * 32
    sender = call("POST", "/api/senders", token, {
        "name": "bench", "channel": "sms", "provider": "twilio", "from": "+12025550100", "rate_parts_per_second": 1000,
        "credentials": {"account_sid": account, "auth_token": secret, "api_key_sid": "SK" + "b" * 32, "api_key_secret": "c" * 32}})
    path = f"/webhooks/twilio/{sender['id']}/status"
    with tempfile.TemporaryDirectory() as folder:
        requests = pathlib.Path(folder, "requests")
        with requests.open("w") as file:
            for _ in range(60_000 * max(1, SECONDS // 4)):
                target = f"{path}?m={uuid.uuid4()}"
                sid = "SM" + uuid.uuid4().hex
                form = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": "delivered", "SmsStatus": "delivered",
                        "AccountSid": account, "From": "+12025550100", "To": "+12025550123", "ApiVersion": "2010-04-01"}
                signed = ENV["MUSTER_URL"] + target + "".join(name + form[name] for name in sorted(form))
                mac = base64.b64encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha1).digest()).decode()
                file.write(f"{target}\t{mac}\t{urllib.parse.urlencode(form)}\n")
        lua = pathlib.Path(folder, "requests.lua")
        # Made before they are sent, so that the client takes as little of the machine as pgbench does.
        lua.write_text(f"""
            local requests, last = {{}}, 0
            function init()
                for line in io.lines("{requests}") do
                    local target, mac, body = line:match("([^\\t]+)\\t([^\\t]+)\\t(.*)")
                    requests[#requests + 1] = wrk.format(
                        "POST", target, {{["Content-Type"] = "application/x-www-form-urlencoded", ["X-Twilio-Signature"] = mac}}, body)
                end
            end
            function request()
                last = last % #requests + 1
                return requests[last]
            end""")
        wrk(path, lua=str(lua), seconds=1)
        row = json.loads(psql(f"SELECT to_jsonb(r) FROM receipts r WHERE workspace_id = '{workspace}' LIMIT 1"))
        # As those that came by HTTP, each of a message of its own and as yet unsettled: what settles them has the same to do
        # beside both.
        own = {"workspace_id": "current_workspace()", "sid": "md5(random()::text)", "message_id": "gen_random_uuid()"}
        fixed = {k: row[k] for k in ("sender_id", "status", "body")}
        def literal(value):
            return "'" + (json.dumps(value) if isinstance(value, (dict, list)) else str(value)).replace("'", "''") + "'"
        names = ", ".join([*own, *fixed])
        values = ", ".join([*own.values(), *map(literal, fixed.values())])
        script = (f"\\startpipeline\nSELECT set_workspace('{workspace}');\nINSERT INTO receipts ({names}) VALUES ({values});\n\\endpipeline\n")
        rates, inserts = alternate(lambda: wrk(path, lua=str(lua)), lambda: pgbench(script))
        report("webhook, single", rates, inserts, 0.6, "requests/s")
        # Half of that, spread by chance over four times the connections.
        pause = 2 * CONNECTIONS / (statistics.median(rates) / 2) * 1000
        lua.write_text(lua.read_text() + f"\nfunction delay() return math.random() * {pause:.3f} end\n")
        report("webhook, p99 at half load", [wrk_p99(path, str(lua)) for _ in range(ROUNDS)], None, 50, "ms", higher_is_better=False)
    psql(f"DELETE FROM receipts WHERE workspace_id = '{workspace}'", "muster_maintenance")
    psql("VACUUM receipts", "postgres")

# MARK: jobs

THREADS = 4


def enqueue(workspace, kind, count):
    psql(f"""INSERT INTO jobs (workspace_id, kind) SELECT '{workspace}', '{kind}' FROM generate_series(1, {count});
             SELECT pg_notify('muster_jobs', '{workspace}');""")


class Worker:
    """A process that takes jobs which do nothing."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [PROGRAMS / "bench-client", "jobs"], stdin=subprocess.DEVNULL,
            env={**environment("muster_worker"), "MUSTER_WORKER_THREADS": str(THREADS)})

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def jobs():
    workspace, _, _ = new_workspace("jobs")
    for most, count in ((1, 8_000), (100, 80_000)):
        kind = "bench_single" if most == 1 else "bench_batch"
        def clear():
            psql(f"DELETE FROM jobs WHERE workspace_id = '{workspace}'")
            psql("VACUUM (ANALYZE) jobs", "postgres")
        def ours():
            clear()
            enqueue(workspace, kind, count)
            with Worker():
                until("the last job", lambda: psql(
                    f"SELECT NOT EXISTS (SELECT FROM jobs WHERE workspace_id = '{workspace}' AND state IN ('queued', 'running'))") == "t")
            return float(psql(f"""SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM jobs
                                   WHERE workspace_id = '{workspace}'"""))
        def baseline():
            clear()
            # A few more, so that the last claims find one, too.
            enqueue(workspace, kind, count + 2 * THREADS * most)
            # The places of pgbench's own variables are filled last: what looks like one in a literal is not to be.
            claim = with_values(statement("JobSQL.claim"), f"'{workspace}'", f"'{{{kind}}}'", f"'{{{most}}}'", "60", "@at", "@place")
            succeed = with_values(
                statement("JobSQL.succeed"), "@jobs", "@leases", "array_fill('{}'::jsonb, ARRAY[cardinality(@jobs::uuid[])])")
            claim, succeed = (re.sub(r"@(?=[a-z])", ":", sql) for sql in (claim, succeed))
            script = (f"SELECT array_agg(id)::text AS jobs, array_agg(lease_token)::text AS leases, max(run_at)::text AS at, "
                      f"max(id::text) AS place FROM ({claim}) c\n\\gset\n"
                      f"\\startpipeline\nBEGIN;\nSELECT set_workspace('{workspace}');\n\\endpipeline\n{succeed};\nCOMMIT;\n")
            return most * pgbench(script, "muster_worker", clients=THREADS, transactions=count // THREADS // most,
                                  variables={"at": "-infinity", "place": str(uuid.UUID(int=0))})
        report(f"jobs, batches of {most}", *alternate(ours, baseline), 0.8, "jobs/s")
    rate, seconds = next(r["ours"] for r in results if r["name"] == "jobs, batches of 1") / 2, 30
    finished = []
    for _ in range(max(3, ROUNDS // 2)):
        clear()
        # Nothing that ends meanwhile can be cleared away while somebody's old snapshot may still need it.
        reader = subprocess.Popen(["psql", "-XAtq", "-d", conninfo("postgres")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        reader.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM jobs;\n")
        reader.stdin.flush()
        with Worker():
            offer = (f"\\startpipeline\nINSERT INTO jobs (workspace_id, kind) VALUES ('{workspace}', 'bench_single');\n"
                     f"SELECT pg_notify('muster_jobs', '{workspace}');\n\\endpipeline\n")
            pgbench(offer, "muster_owner", clients=2, seconds=seconds, rate=rate)
            finished.append(ended(workspace) / (rate * seconds))
        reader.stdin.close()
        reader.wait()
    report("jobs beside an old snapshot", finished, None, 0.95, "of those offered")


def ended(workspace):
    return int(psql(f"SELECT count(*) FROM jobs WHERE workspace_id = '{workspace}' AND state = 'succeeded'"))


figures = {"send": send, "rate": rate, "freeze": freeze, "webhook": webhook, "jobs": jobs}
