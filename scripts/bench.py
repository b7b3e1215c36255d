#!/usr/bin/env python3
"""Measures Muster beside its baselines, in alternating rounds, on a stack that `make run` started.

Every figure is a ratio to a baseline of the same run, because machines differ and drift; what has no baseline says so.
Prints a table and writes .run/bench.json. `make bench ONLY=listing` runs one.
"""
import base64, csv, hashlib, hmac, http.client, io, json, os, pathlib, random, re, signal, socket, statistics
import struct, subprocess, sys, tempfile, time, urllib.parse, uuid, zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = pathlib.Path(os.environ.get("MUSTER_RUN_DIR", ROOT / ".run"))
ENV = dict(line.split("=", 1) for line in (RUN / "env").read_text().splitlines() if "=" in line)
ENV = {key: value.strip().strip("'\"") for key, value in ENV.items()}
URL = urllib.parse.urlsplit(ENV["MUSTER_URL"])
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "4"))
# 64,000 contacts of a public data set (Hillstrom's e-mail challenge of 2008, with addresses made up).
HILLSTROM = pathlib.Path(os.environ.get("CONTACTS", next(
    (path for path in (ROOT / "data", ROOT.parent / "data", ROOT.parent / "shared" / "data") if path.is_dir()), ROOT)
    / "hillstrom_contacts.csv"))
results = []


# MARK: small tools

def conninfo(role):
    """The stack's database, as another role."""
    return re.sub(r"user=\S+", "", ENV["MUSTER_DATABASE"]) + f" user={role}"


def psql(sql, role="muster_owner"):
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo(role)], input=sql, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"psql: {done.stderr}\n{sql[:500]}")
    return done.stdout.strip()


def pgbench(script, role="muster_responder", clients=16, seconds=SECONDS):
    """Transactions per second of a script, prepared."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds), "-f", file.name, conninfo(role)],
            text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"pgbench: {done.stderr}\n{script}")
    return float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))


def wrk(path, headers=(), lua=None, connections=16, seconds=SECONDS):
    """Requests per second; any answer but 2xx is an error of the measurement."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for header in headers:
        command += ["-H", header]
    if lua:
        command += ["-s", lua]
    out = subprocess.run(command + [ENV["MUSTER_URL"] + path], text=True, capture_output=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"wrk {path}: {out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def call(method, path, key, body=None, content_type="application/json", expect=range(200, 300)):
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=600)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Authorization": f"Bearer {key}", **({"Content-Type": content_type} if data else {})})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in expect:
        sys.exit(f"{method} {path}: {answer.status} {text[:500]}")
    return json.loads(text) if text else None


def statement(name):
    """The SQL of a statement of the source, so that both sides run the same text."""
    file, constant = name.split(".")
    text = next(ROOT.glob(f"Sources/**/{file}.swift")).read_text()
    return re.search(r"static let " + constant + r"\b[^\"]*\"\"\"\n(.*?)\"\"\"", text, re.S).group(1)


def with_values(sql, *values):
    for index in range(len(values), 0, -1):
        sql = sql.replace(f"${index}", values[index - 1])
    sql = re.sub(r"\s*\n\s*", " ", re.sub(r"--[^\n]*", "", sql)).strip()
    # pgbench takes `:name` for a variable, also inside a literal.
    return re.sub(r"(?<!:):(?=[a-z_])", "' || chr(58) || '", sql)


def base62(number, width):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = ""
    for _ in range(width):
        number, rest = divmod(number, 62)
        text = digits[rest] + text
    return text


def new_workspace(name):
    """A workspace of its own without limits, and a key for all of it."""
    part = "".join(random.choice("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") for _ in range(30))
    token = "muster_live_" + part + base62(zlib.crc32(part.encode()), 6)
    digest = hashlib.sha256(token.encode()).hexdigest()
    workspace = psql(f"""
        INSERT INTO workspaces (name, plan, default_country, settings)
        VALUES ('bench {name}', 'unlimited', 'US', '{{"consent_mode": "opt_out"}}') RETURNING id;""")
    psql(f"""INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes)
             VALUES ('{workspace}', 'bench', '{token[:16]}', decode('{digest}', 'hex'), '{{*}}');""")
    return workspace, token, digest


def finish(job_id, key, seconds=900):
    deadline = time.time() + seconds
    while time.time() < deadline:
        job = call("GET", f"/api/jobs/{job_id}", key)
        job = job.get("job", job)
        if job["state"] in ("succeeded", "failed", "cancelled"):
            if job["state"] != "succeeded":
                sys.exit(f"job {job}")
            return job
        time.sleep(0.05)
    sys.exit(f"job {job_id} did not end")


def report(name, ours, baseline, goal, unit, higher_is_better=True):
    ratios = [a / b for a, b in zip(ours, baseline)] if baseline else ours
    middle = statistics.median(ratios)
    met = middle >= goal if higher_is_better else middle <= goal
    results.append({
        "name": name, "ours": statistics.median(ours), "baseline": statistics.median(baseline) if baseline else None,
        "ratio": middle if baseline else None, "goal": goal, "unit": unit, "rounds": len(ours), "met": met,
        "least": min(ratios), "most": max(ratios)})
    shown = f"{middle:10.3f}  ({min(ratios):.3f} … {max(ratios):.3f})"
    sign = "≥" if higher_is_better else "≤"
    print(f"{name:34} {statistics.median(ours):12.1f} {statistics.median(baseline) if baseline else float('nan'):12.1f} {unit:12} {shown:30} {sign} {goal:<6} {'yes' if met else 'NO'}", flush=True)


def alternate(ours, baseline):
    """Rounds of one and the other in turn, after one of each that does not count."""
    ours(), baseline()
    pairs = [(ours(), baseline()) for _ in range(ROUNDS)]
    return [a for a, _ in pairs], [b for _, b in pairs]


# MARK: what is measured

def listing():
    workspace, token, digest = new_workspace("listing")
    psql(f"""INSERT INTO segments (workspace_id, name, rule, created_at)
             SELECT '{workspace}', 'Segment ' || n, '{{"version":1,"match":{{"all":[]}}}}', now() - n * interval '1 minute'
               FROM generate_series(1, 200) n; ANALYZE segments;""")
    roles = "'{owner,admin,manager,member,viewer}'"
    authorize = with_values(statement("WebSQL.authorize"), f"decode('{digest}', 'hex')", "true", "NULL", roles, "'audience:read'")
    page = with_values(statement("SegmentSQL.page"), "'infinity'::timestamptz", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid", "21")
    script = f"\\startpipeline\n{authorize};\n{page};\n\\endpipeline\n"
    report("listing", *alternate(
        lambda: wrk("/api/segments?limit=20", [f"Authorization: Bearer {token}"]), lambda: pgbench(script)),
        0.45, "requests/s")


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
        lua.write_text(f"""
            local file = io.open("{requests}")
            function request()
                local line = file:read("*l")
                if not line then file:seek("set", 0) line = file:read("*l") end
                local target, mac, body = line:match("([^\\t]+)\\t([^\\t]+)\\t(.*)")
                return wrk.format("POST", target, {{["Content-Type"] = "application/x-www-form-urlencoded", ["X-Twilio-Signature"] = mac}}, body)
            end""")
        columns = psql("SELECT string_agg(column_name, ',') FROM information_schema.columns WHERE table_name = 'receipts'")
        kept = psql(f"SELECT 1 FROM receipts WHERE workspace_id = '{workspace}' LIMIT 1")
        wrk(path, lua=str(lua), seconds=1)
        row = json.loads(psql(f"SELECT to_jsonb(r) FROM receipts r WHERE workspace_id = '{workspace}' LIMIT 1"))
        fixed = {k: v for k, v in row.items() if v is not None and k not in ("id", "received_at", "sid", "workspace_id")}
        def literal(value):
            return "'" + (json.dumps(value) if isinstance(value, (dict, list)) else str(value)).replace("'", "''") + "'"
        names = ", ".join(["workspace_id", "sid"] + list(fixed))
        values = ", ".join(["current_workspace()", "md5(random()::text)"] + [literal(v) for v in fixed.values()])
        script = (f"\\startpipeline\nSELECT set_workspace('{workspace}');\nINSERT INTO receipts ({names}) VALUES ({values});\n\\endpipeline\n")
        report("webhook", *alternate(lambda: wrk(path, lua=str(lua)), lambda: pgbench(script)), 0.5, "requests/s")
    psql(f"DELETE FROM receipts WHERE workspace_id = '{workspace}'", "muster_maintenance")


def hillstrom():
    if not HILLSTROM.exists():
        sys.exit(f"{HILLSTROM} is absent: CONTACTS names the file of 64,000 contacts that this figure needs")
    return HILLSTROM.read_bytes()


def load_hillstrom(name):
    workspace, token, digest = new_workspace(name)
    answer = call("POST", "/api/contacts/import", token, hillstrom(), "text/csv")
    finish(answer["job"]["id"], token)
    psql("ANALYZE contacts")
    return workspace, token, digest


def preview():
    workspace, token, _ = load_hillstrom("preview")
    rule = {"version": 1, "match": {"all": [
        {"field": "attributes.channel", "op": "is", "value": "Web"},
        {"field": "attributes.history", "op": "at_least", "value": 500}]}}
    # The count that an expert would write by hand for this meaning: case ignored, dirty values never an error.
    hand = f"""SELECT count(*) FROM contacts c WHERE c.workspace_id = '{workspace}'
        AND lower(c.attributes ->> 'channel') = 'web'
        AND CASE WHEN jsonb_typeof(c.attributes -> 'history') = 'number' THEN (c.attributes ->> 'history')::numeric >= 500
                 WHEN c.attributes ->> 'history' ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$'
                 THEN (c.attributes ->> 'history')::numeric >= 500 ELSE false END"""
    counted = call("POST", "/api/segments/preview", token, {"rule": rule})
    expected = int(psql(hand))
    if counted["count"] != expected:
        sys.exit(f"preview counts {counted['count']}, the hand-written statement {expected}")
    def ours():
        return statistics.median(call("POST", "/api/segments/preview", token, {"rule": rule})["count_ms"] for _ in range(5))
    def baseline():
        return 1000 / pgbench(f"\\startpipeline\nSELECT set_workspace('{workspace}');\n{with_values(hand)};\n\\endpipeline\n", clients=1, seconds=2)
    report("preview", *alternate(ours, baseline), 1.1, "ms", higher_is_better=False)


def import_csv():
    data = hillstrom()
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    keep = ["external_id", "email", "phone"]
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        def ours():
            workspace, token, _ = new_workspace("import")
            started = time.time()
            job = finish(call("POST", "/api/contacts/import", token, data, "text/csv")["job"]["id"], token)
            seconds = time.time() - started
            if job["result"]["created"] != len(rows):
                sys.exit(f"import: {job['result']}")
            psql(f"DELETE FROM workspaces WHERE id = '{workspace}'; VACUUM contacts")
            return len(rows) / seconds
        def baseline():
            workspace, _, _ = new_workspace("copy")
            file.seek(0), file.truncate()
            writer = csv.writer(file)
            for number, row in enumerate(rows, 1):
                attributes = json.dumps({key: value for key, value in row.items() if key not in keep})
                writer.writerow([workspace, uuid.uuid4(), number] + [row[key] for key in keep] + [attributes])
            file.flush()
            started = time.time()
            # Row-level security and COPY exclude each other, so this is the superuser's.
            psql(f"\\copy contacts (workspace_id, id, ordinal, external_id, email, phone, attributes) FROM '{file.name}' WITH (FORMAT csv)", "postgres")
            seconds = time.time() - started
            psql(f"DELETE FROM workspaces WHERE id = '{workspace}'; VACUUM contacts")
            return len(rows) / seconds
        report("import", *alternate(ours, baseline), 0.2, "rows/s")


def send():
    workspace, token, _ = new_workspace("send")
    count = 10_000
    text = "external_id,phone,name\n" + "".join(f"B{n},+1{202 + n // 10000 % 700}55{n % 100000:05},Reader {n}\n" for n in range(count))
    finish(call("POST", "/api/contacts/import", token, text.encode(), "text/csv")["job"]["id"], token)
    accounts = {"account_sid": "AC" + "d" * 32, "auth_token": "e" * 32, "api_key_sid": "SK" + "f" * 32, "api_key_secret": "a" * 32}
    sender = call("POST", "/api/senders", token, {
        "name": "bench", "channel": "sms", "provider": "twilio", "from": "+12025550100", "rate_parts_per_second": 10000, "credentials": accounts})
    segment = call("POST", "/api/segments", token, {"name": "All", "rule": {"version": 1, "match": {"all": []}}})
    rates = []
    for round in range(max(3, ROUNDS // 2)):
        campaign = call("POST", "/api/campaigns", token, {
            "name": f"Bench {round}", "channel": "sms", "segment_id": segment["id"], "sender_id": sender["id"], "body": "Hi {{ name }}, news for you."})
        call("POST", f"/api/campaigns/{campaign['id']}/start", token, {})
        while not call("GET", f"/api/campaigns/{campaign['id']}/messages?state=sent&limit=1", token)["items"]:
            time.sleep(0.02)
        started, already = time.time(), sent(campaign["id"])
        while call("GET", f"/api/campaigns/{campaign['id']}", token)["status"] not in ("finished",):
            time.sleep(0.05)
        rates.append((sent(campaign["id"]) - already) / (time.time() - started))
    report("send", rates, None, 500, "messages/s")


def sent(campaign):
    return int(psql(f"SELECT count(*) FROM messages WHERE campaign_id = '{campaign}' AND sent_at IS NOT NULL"))


def fastcgi_get(path, address):
    """The least FastCGI client: one GET, the whole answer."""
    def record(kind, content):
        return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content
    def pair(name, value):
        name, value = name.encode(), value.encode()
        return struct.pack("!BB", len(name), len(value)) + name + value
    parameters = b"".join(pair(*item) for item in {
        "REQUEST_METHOD": "GET", "DOCUMENT_URI": path, "REQUEST_URI": path, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}.items())
    link = socket.socket(socket.AF_UNIX)
    link.connect(address)
    link.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, parameters) + record(4, b"") + record(5, b""))
    answer = b""
    while chunk := link.recv(65536):
        answer += chunk
    return answer


def idle():
    products = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", ROOT / ".build/release"))
    environment = {**os.environ, "MUSTER_DATABASE": conninfo("muster_responder"), "MUSTER_PUBLIC_URL": ENV["MUSTER_URL"],
                   "MUSTER_SEALING_KEY_FILE": ENV.get("MUSTER_SEALING_KEY_FILE", str(RUN / "sealing-key")), "MUSTER_LOG_LEVEL": "error"}
    sizes, times = [], []
    for area in ("accounts", "segments", "campaigns", "webhooks", "analytics"):
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                address = folder + "/s"
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(address)
                listener.listen(16)
                started = time.time()
                process = subprocess.Popen([products / f"muster-{area}"], stdin=listener, env=environment)
                answer = fastcgi_get(f"/health/{area}", address)
                times.append((time.time() - started) * 1000)
                if b"200 OK" not in answer:
                    sys.exit(f"{area}: {answer[:300]}")
                fastcgi_get(f"/health/{area}/ready", address)
                time.sleep(0.2)
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024)
                process.send_signal(signal.SIGTERM)
                process.wait()
    report("resident memory, idle responder", sizes, None, 20, "MB", higher_is_better=False)
    report("start to first answer", times, None, 100, "ms", higher_is_better=False)


figures = {"listing": listing, "webhook": webhook, "preview": preview, "import": import_csv, "send": send, "idle": idle}
only = os.environ.get("ONLY")
if only and only not in figures:
    sys.exit(f"ONLY is one of {', '.join(figures)}")
print(f"{'':34} {'ours':>12} {'baseline':>12} {'unit':12} {'ratio or value (least … most)':30} goal     met")
try:
    for name, figure in figures.items():
        if only in (None, "", name):
            figure()
finally:
    psql("DELETE FROM workspaces WHERE name LIKE 'bench %'")
    (RUN / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
sys.exit(0 if all(result["met"] for result in results) else 1)
