"""What the figures of `make bench` and the acceptance with every reason are made with: the running stack, its database, its API, and ratios to a baseline."""
import http.client, hashlib, json, os, pathlib, random, re, statistics, subprocess, sys, tempfile, time, urllib.parse, zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = pathlib.Path(os.environ.get("MUSTER_RUN_DIR", ROOT / ".run"))
ENV = dict(line.split("=", 1) for line in (RUN / "env").read_text().splitlines() if "=" in line)
ENV = {key: value.strip().strip("'\"") for key, value in ENV.items()}
URL, SANDBOX = (urllib.parse.urlsplit(ENV[name]) for name in ("MUSTER_URL", "MUSTER_SANDBOX_URL"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_EACH", "4"))
results = []


def conninfo(role):
    """The stack's database, as another role."""
    return re.sub(r"user=\S+", "", ENV["MUSTER_DATABASE"]) + f" user={role}"


def psql(sql, role="muster_owner"):
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo(role)], input=sql, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"psql: {done.stderr}\n{sql[:500]}")
    return done.stdout.strip()


def pgbench(script, role="muster_responder", clients=16, seconds=SECONDS, transactions=None, rate=None, variables={}):
    """Transactions per second of a script, prepared; so many of each client, or for so long, at most at a rate."""
    bounds = ["-t", str(transactions)] if transactions else ["-T", str(seconds)]
    bounds += ["-R", f"{rate:.1f}"] if rate else []
    bounds += [option for name, value in variables.items() for option in ("-D", f"{name}={value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", *bounds, "-f", file.name, conninfo(role)],
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


def sandbox(method, path, body=None):
    connection = http.client.HTTPConnection(SANDBOX.hostname, SANDBOX.port, timeout=60)
    connection.request(method, SANDBOX.path + path, None if body is None else json.dumps(body),
                       {} if body is None else {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"sandbox {path}: {answer.status} {text[:300]}")
    return json.loads(text) if text else None


def until(what, ask, seconds=600):
    deadline = time.time() + seconds
    while not (value := ask()):
        if time.time() > deadline:
            sys.exit(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)
    return value


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
        VALUES ('bench {name}', 'unlimited', 'US', '{{"consent_mode": "opt_out", "quiet_hours_sms": "off"}}') RETURNING id;""")
    psql(f"""INSERT INTO api_keys (workspace_id, name, prefix, secret_hash, scopes)
             VALUES ('{workspace}', 'bench', '{token[:16]}', decode('{digest}', 'hex'), '{{*}}');""")
    return workspace, token, digest


def remove(*workspaces):
    """Table by table without triggers: cascades would go row by row."""
    names = ", ".join(f"'{workspace}'" for workspace in workspaces)
    psql(f"""
        SET session_replication_role = replica;
        DO $$ DECLARE t regclass; BEGIN
            FOR t IN SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
                      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
                EXECUTE format('DELETE FROM %s WHERE workspace_id = ANY (%L)', t, ARRAY[{names}]::uuid[]);
            END LOOP;
        END $$;""", "postgres")


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
