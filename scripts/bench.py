#!/usr/bin/env python3
"""Measures Muster beside its baselines, in alternating rounds, on a stack that `make run` started.

Every figure is a ratio to a baseline of the same run, because machines differ and drift; what has no baseline says so.
Prints a table and writes .run/bench.json. `make bench ONLY=listing` runs one,
`ONLY=segments,rls` two; SCALE=0.05 makes the million contacts of the segments fewer.
"""
import csv, io, json, os, pathlib, re, signal, socket, statistics, struct, subprocess, sys, tempfile, time
import uuid

from bench_tools import ENV, ROOT, ROUNDS, RUN, SECONDS, alternate, call, conninfo, finish, new_workspace, pgbench, psql, report
from bench_tools import results, statement, with_values, wrk
import bench_campaigns
import bench_segments


# 64,000 contacts of a public data set (Hillstrom's e-mail challenge of 2008, with addresses made up).
HILLSTROM = pathlib.Path(os.environ.get("CONTACTS", next(
    (path for path in (ROOT / "data", ROOT.parent / "data", ROOT.parent / "shared" / "data") if path.is_dir()), ROOT)
    / "hillstrom_contacts.csv"))


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
    counted = call("POST", "/api/segments/preview", token, {"rule": rule, "fresh": True})
    expected = int(psql(hand))
    if counted["count"] != expected:
        sys.exit(f"preview counts {counted['count']}, the hand-written statement {expected}")
    def ours():
        return statistics.median(call("POST", "/api/segments/preview", token, {"rule": rule, "fresh": True})["count_ms"] for _ in range(5))
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


figures = {"listing": listing, "preview": preview, "import": import_csv, "idle": idle, **bench_campaigns.figures,
           **bench_segments.figures}
only = [name for name in os.environ.get("ONLY", "").split(",") if name]
if unknown := [name for name in only if name not in figures]:
    sys.exit(f"ONLY names some of {', '.join(figures)}; not {', '.join(unknown)}")
print(f"{'':34} {'ours':>12} {'baseline':>12} {'unit':12} {'ratio or value (least … most)':30} goal     met")
try:
    for name, figure in figures.items():
        if not only or name in only:
            figure()
finally:
    bench_segments.take_down()
    psql("DELETE FROM workspaces WHERE name LIKE 'bench %'")
    (RUN / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
sys.exit(0 if all(result["met"] for result in results) else 1)
