"""Segments of a million contacts with 20 attributes and 5 million events, beside SQL written by hand for the same meaning.

SCALE=0.05 makes everything smaller. The world is made once per run, and taken down at its end.
"""
import concurrent.futures, http.client, json, os, pathlib, random, statistics, subprocess, sys, threading, time

from bench_tools import ENV, ROOT, ROUNDS, RUN, URL, call, conninfo, finish, new_workspace, psql, remove, report

CONTACTS = int(1_000_000 * float(os.environ.get("SCALE", "1")))
# Every shape of rule with its own figures.
VERBOSE = "segments" in os.environ.get("ONLY", "").split(",")


# MARK: the world

class World:
    """One workspace, and another in which others work meanwhile."""

    def __init__(self):
        started = time.time()
        self.workspace, self.token, _ = new_workspace("segments")
        self.others, self.others_token, _ = new_workspace("neighbours")
        # Ids ascend, as they do in life. No window of whole hours ends at anything for 59 minutes.
        contacts = f"""
            SELECT setseed(0.5);
            INSERT INTO contacts (workspace_id, id, ordinal, external_id, email, phone, name, status, country, tags, attributes, created_at)
            SELECT '{self.workspace}', {contact_id('n')}, n, 'C' || n, 'c' || n || '@example' || n % 7 || '.com', '+1202' || 1000000 + n,
                   CASE WHEN n % 10 > 0 THEN 'Reader ' || n END, (ARRAY['new', 'open', 'customer', 'gone'])[1 + n % 4],
                   (ARRAY['US', 'CA', 'DE'])[1 + n % 3], CASE WHEN n % 5 = 0 THEN '{{VIP,News}}' WHEN n % 3 = 0 THEN '{{news}}' ELSE '{{}}' END::text[],
                   jsonb_strip_nulls(jsonb_build_object(
                       'plan', (ARRAY['gold', 'Silver', 'bronze', 'free', NULL])[1 + (random() * 4)::int], 'city', 'City ' || (random() * 200)::int,
                       'channel', (ARRAY['Web', 'Phone', 'Multichannel'])[1 + n % 3], 'points', (random() * 1000)::int,
                       'visits', CASE WHEN random() < 0.9 THEN (random() * 50)::int END, 'spent', round((random() * random() * 900)::numeric, 2),
                       'discount', round(random()::numeric, 2), 'is_vip', random() < 0.1, 'newsletter', (ARRAY['yes', 'no'])[1 + n % 2],
                       'birthday', date '1960-01-01' + (random() * 15000)::int, 'renewal', current_date + (random() * 400)::int - 200,
                       'lead_source', (ARRAY['Website', 'Referral', 'Event', 'Cold call'])[1 + (random() * 3)::int], 'age', (18 + random() * 60)::int,
                       'language', (ARRAY['en', 'de', 'fr'])[1 + n % 3], 'industry', 'Industry ' || (random() * 30)::int,
                       'company', 'Company ' || (random() * 5000)::int, 'note', 'Called on day ' || n % 365 || ' about the ' || (ARRAY['offer', 'invoice'])[1 + n % 2],
                       'score', random() * 100, 'zip', lpad((n % 99999)::text, 5, '0'), 'orders_total', (random() * 20)::int)),
                   now() - interval '1 hour' * (n % 8760) - interval '1 minute'
              FROM generate_series(1, {CONTACTS}) n;
            INSERT INTO contact_ordinals VALUES ('{self.workspace}', {CONTACTS});
            INSERT INTO fields (workspace_id, key, type)
            SELECT '{self.workspace}', 'attributes.' || k, t FROM (VALUES ('plan', 'text'), ('city', 'text'), ('channel', 'text'),
                ('points', 'number'), ('visits', 'number'), ('spent', 'number'), ('discount', 'number'), ('is_vip', 'boolean'),
                ('newsletter', 'boolean'), ('birthday', 'date'), ('renewal', 'date'), ('lead_source', 'text'), ('age', 'number'),
                ('language', 'text'), ('industry', 'text'), ('company', 'text'), ('note', 'text'), ('score', 'number'), ('zip', 'text'),
                ('orders_total', 'number'), ('probe', 'text')) v (k, t);
            INSERT INTO lists (workspace_id, name) VALUES ('{self.workspace}', 'Tenth');
            INSERT INTO list_members (workspace_id, list_id, contact_id)
            SELECT l.workspace_id, l.id, {contact_id('n')} FROM lists l, generate_series(10, {CONTACTS}, 10) n WHERE l.workspace_id = '{self.workspace}';
            INSERT INTO consents (workspace_id, contact_id, channel, state, source, occurred_at)
            SELECT '{self.workspace}', {contact_id('n')}, 'sms', CASE WHEN n % 9 = 0 THEN 'opted_out' ELSE 'opted_in' END, 'bench', now()
              FROM generate_series(3, {CONTACTS}, 3) n;
            INSERT INTO contacts (workspace_id, id, ordinal, email) SELECT '{self.others}', {contact_id('n')}, n, 'o' || n || '@example.com'
              FROM generate_series(1, 1000) n;
            INSERT INTO contact_ordinals VALUES ('{self.others}', 1000);
            """
        def events(part):
            return f"""
            INSERT INTO events (workspace_id, id, contact_id, name, occurred_at, properties)
            SELECT '{self.workspace}', {contact_id('n * 16 + k')}, {contact_id('n')}, (ARRAY['visit', 'order', 'visit', 'click', 'reply'])[1 + k % 5],
                   now() - interval '1 hour' * ((n::bigint * 7919 + k * 104729) % 1080) - interval '1 minute',
                   jsonb_build_object('amount', (n * 31 + k * 17) % 500, 'channel', (ARRAY['web', 'app'])[1 + (n + k) % 2])
              FROM generate_series(1 + {part} * {CONTACTS} / 2, ({part} + 1) * {CONTACTS} / 2) n CROSS JOIN LATERAL generate_series(1, n % 11) k;
            """
        # Without triggers: nothing here is a change that anybody waits for.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda sql: psql("SET session_replication_role = replica; SET synchronous_commit = off;" + sql, "postgres"),
                          [contacts, events(0), events(1)]))
        psql("VACUUM (ANALYZE) contacts, events, list_members, consents", "postgres")
        self.list = psql(f"SELECT id FROM lists WHERE workspace_id = '{self.workspace}'")
        self.base = self.save("Base", {"field": "attributes.points", "op": "at_least", "value": 700})
        self.calculate(self.base)
        psql("VACUUM (ANALYZE) segment_members", "postgres")
        print(f"# {CONTACTS:,} contacts made in {time.time() - started:.0f} s", file=sys.stderr, flush=True)

    def save(self, name, match):
        segment = call("POST", "/api/segments", self.token, {"name": name, "rule": {"version": 1, "match": match}})
        wait(lambda: call("GET", f"/api/segments/{segment['id']}", self.token)["state"] != "stale")
        return segment["id"]

    def calculate(self, segment):
        """Seconds of one full calculation."""
        job = finish(call("POST", f"/api/segments/{segment}/calculate", self.token)["job"]["id"], self.token)
        return float(psql(f"SELECT extract(epoch FROM finished_at - started_at) FROM jobs WHERE id = '{job['id']}'"))

    def settle(self):
        """Until no change waits to be looked at."""
        wait(lambda: psql(f"SELECT NOT EXISTS (SELECT FROM dirty_contacts WHERE workspace_id = '{self.workspace}')") == "t")

    def take_down(self):
        remove(self.workspace, self.others)


def contact_id(number):
    """An id for a number, in SQL; ascending."""
    return f"('01900000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


def wait(condition, seconds=900):
    deadline = time.time() + seconds
    while not condition():
        if time.time() > deadline:
            sys.exit("waited too long")
        time.sleep(0.02)


class Session:
    """One psql of a role, which says how long each statement took."""

    def __init__(self, role, workspace):
        self.process = subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo(role)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.run(f"SET statement_timeout = 0; SELECT set_config('muster.workspace_id', '{workspace}', false)")

    def run(self, sql):
        """Rows and milliseconds."""
        self.process.stdin.write(f"\\timing on\n{' '.join(sql.split())};\n\\timing off\n\\echo end of it\n")
        self.process.stdin.flush()
        rows, milliseconds = [], 0.0
        while (line := self.process.stdout.readline().rstrip("\n")) != "end of it":
            if "ERROR" in line or self.process.poll() is not None:
                sys.exit(f"{line}\n{sql}")
            if line.startswith("Time: "):
                milliseconds = float(line.split()[1])
            else:
                rows.append(line)
        return rows, milliseconds


# MARK: rules and the same by hand

def field(key, op, value=None):
    return {"field": key, "op": op, **({} if value is None else {"value": value})}


def number(key):
    """What a careful engineer writes: a number, or a text that is one; anything else is missing and no error."""
    value = f"c.attributes ->> '{key}'"
    return (f"CASE WHEN jsonb_typeof(c.attributes -> '{key}') = 'number' THEN ({value})::numeric "
            f"WHEN {value} ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{{1,3}})?$' THEN ({value})::numeric END")


def text(key):
    return f"lower(c.attributes ->> '{key}')"


def event(name, more=""):
    return f"SELECT e.contact_id FROM events e WHERE e.workspace_id = '{world().workspace}' AND e.name = '{name}'{more}"


def did(name, more=""):
    return f"EXISTS ({event(name, more)} AND e.contact_id = c.id)"


LAST30 = " AND e.occurred_at BETWEEN now() - interval '720 hours' AND now()"
VIP = "lower(c.attributes ->> 'is_vip') IN ('true', 'yes', '1')"
NEWS = "lower(c.attributes ->> 'newsletter') IN ('true', 'yes', '1')"
WEB = ({"field": "attributes.channel", "op": "is", "value": "web"}, f"lower(c.attributes ->> 'channel') = 'web'")
GOLD = (field("attributes.plan", "is", "gold"), f"lower(c.attributes ->> 'plan') = 'gold'")


def shapes():
    """Name, rule, and the condition that it means."""
    w = world()
    points = (field("attributes.points", "at_least", 500), f"{number('points')} >= 500")
    visits = (field("attributes.visits", "less_than", 10), f"{number('visits')} < 10")
    source = (field("attributes.lead_source", "is_any_of", ["website", "referral"]), f"{text('lead_source')} IN ('website', 'referral')")
    ordered = ({"event": "order", "within": {"last": "30d"}}, did("order", LAST30))
    often = ({"event": "visit", "count": {"at_least": 3}}, f"c.id IN ({event('visit')} GROUP BY e.contact_id HAVING count(*) >= 3)")
    spent = ({"aggregate": "sum", "of": "amount", "event": "order", "op": "at_least", "value": 300},
             f"c.id IN ({event('order')} GROUP BY e.contact_id HAVING sum((e.properties ->> 'amount')::numeric) >= 300)")
    status = (field("status", "is", "customer"), "lower(c.status) = 'customer'")
    base = ({"segment": w.base}, f"EXISTS (SELECT FROM segment_members m WHERE m.workspace_id = '{w.workspace}' AND m.segment_id = '{w.base}' AND m.contact_id = c.id)")
    tenth = ({"list": w.list}, f"EXISTS (SELECT FROM list_members m WHERE m.workspace_id = '{w.workspace}' AND m.list_id = '{w.list}' AND m.contact_id = c.id)")
    consent = ({"consent": "sms", "state": "opted_in"},
               f"EXISTS (SELECT FROM consents k WHERE k.workspace_id = '{w.workspace}' AND k.contact_id = c.id AND k.channel = 'sms' AND k.state = 'opted_in')")
    vip = (field("attributes.is_vip", "is_true"), VIP)
    note = (field("attributes.note", "contains", "invoice"), f"{text('note')} LIKE '%invoice%'")
    tags = (field("tags", "has_any_of", ["vip"]), "lower(c.tags::text)::text[] && '{vip}'")
    young = (field("attributes.age", "between", [18, 30]), f"{number('age')} BETWEEN 18 AND 30")
    recent = (field("created_at", "within", {"last": "90d"}), "c.created_at BETWEEN now() - interval '2160 hours' AND now()")
    renewal = (field("attributes.renewal", "after", "2026-11-01"), "date_of(c.attributes ->> 'renewal', 'UTC') > '2026-11-01'")
    known = (field("name", "is_known"), "c.name IS NOT NULL")
    news = (field("attributes.newsletter", "is_true"), NEWS)
    domain = (field("email", "domain_is", "example3.com"), "split_part(lower(c.email), '@', 2) = 'example3.com'")

    def every(*parts):
        return {"all": [part[0] for part in parts]}, "(" + " AND ".join(part[1] for part in parts) + ")"

    def either(*parts):
        return {"any": [part[0] for part in parts]}, "(" + " OR ".join(part[1] for part in parts) + ")"

    def no(part):
        return {"not": part[0]}, f"NOT coalesce({part[1]}, false)" if not part[1].startswith("EXISTS") else f"NOT {part[1]}"

    silent = ({"event": "order", "count": {"is": 0}}, f"NOT {did('order')}")
    return [
        ("text is", *every(WEB)), ("number at least", *every(points)), ("status is", *every(status)),
        ("text contains", *every(note)), ("boolean", *every(vip)), ("date after", *every(renewal)), ("tag", *every(tags)),
        ("event in 30 days", *every(ordered)), ("no event", *every(silent)), ("event at least 3 times", *every(often)),
        ("sum of events", *every(spent)), ("segment", *every(base)), ("not on a list", *every(no(tenth))),
        ("2: text and number", *every(WEB, points)), ("2: either text", *either(WEB, GOLD)), ("2: event, not a text", *every(ordered, no(GOLD))),
        ("3: mixed", *every(status, visits, consent)), ("4: any of all", *either(every(WEB, points), every(GOLD, visits))),
        ("5: with sum", *every(spent, source, points, known, no(vip))), ("6: with two events", *every(ordered, no(often), young, recent, consent, known)),
        ("7: nested", *every(either(WEB, GOLD, source), either(points, visits), no(tags), status)),
        ("8: fields", *every(source, young, known, recent, renewal, no(vip), no(note), domain)),
        ("10: fields and members", *every(either(WEB, GOLD), points, no(visits), source, known, base, consent, no(tenth), recent)),
        ("12: everything", *every(either(WEB, GOLD, news), no(tags), either(points, young), source, known, ordered, no(often), consent, recent)),
    ]


_world = None


def world():
    global _world
    if _world is None:
        _world = World()
    return _world


def take_down():
    if _world:
        _world.take_down()


# MARK: what is measured

def preview(rule):
    return call("POST", "/api/segments/preview", world().token, {"rule": {"version": 1, "match": rule}, "fresh": True})


def count(condition):
    return f"SELECT count(*) FROM contacts c WHERE c.workspace_id = '{world().workspace}' AND {condition}"


def segments():
    hand, ratios = Session("muster_responder", world().workspace), []
    for name, rule, condition in shapes():
        ours, theirs = [], []
        for round in range(max(3, ROUNDS) + 1):
            counted, (rows, milliseconds) = preview(rule), hand.run(count(condition))
            if counted["count"] != int(rows[0]):
                sys.exit(f"{name}: the rule finds {counted['count']}, the statement by hand {rows[0]}")
            # The first of each only warms.
            if round:
                ours.append(counted["count_ms"])
                theirs.append(milliseconds)
        ratios.append(statistics.median(ours) / statistics.median(theirs))
        if VERBOSE:
            print(f"  {name:32} {counted['count']:>9,} found {statistics.median(ours):10.1f} {statistics.median(theirs):10.1f} ms {ratios[-1]:8.3f}", flush=True)
    report("segments, geometric mean of 24", [statistics.geometric_mean(ratios)], None, 1.1, "of by hand", higher_is_better=False)
    report("segments, worst of 24", [max(ratios)], None, 1.5, "of by hand", higher_is_better=False)


def rls():
    """The statements by hand, as the role that row-level security restricts and as the owner, where an index is used."""
    sessions = [Session(role, world().workspace) for role in ("muster_responder", "muster_owner")]
    contact = psql(f"SELECT id FROM contacts WHERE workspace_id = '{world().workspace}' AND ordinal = {CONTACTS // 2}")
    w, few = world().workspace, f"c.id BETWEEN '{contact}' AND {contact_id(CONTACTS // 2 + CONTACTS // 20)}"
    statements = [count(few)] + [count(f"{few} AND {condition}") for _, _, condition in shapes()] + [
        f"SELECT count(*) FROM events e WHERE e.workspace_id = '{w}' AND e.name = 'order' AND e.occurred_at > now() - interval '48 hours'",
        f"SELECT count(*) FROM segment_members m WHERE m.workspace_id = '{w}' AND m.segment_id = '{world().base}'"]
    ratios = []
    for sql in statements:
        plan = [" ".join(session.run("EXPLAIN " + sql)[0]) for session in sessions]
        if not all("Index" in text for text in plan):
            continue
        times = [[session.run(sql)[1] for session in sessions] for _ in range(ROUNDS * 2 + 1)][1:]
        ratios.append(statistics.median(a for a, _ in times) / statistics.median(b for _, b in times))
    report(f"row-level security, {len(ratios)} by index", [statistics.geometric_mean(ratios)], None, 1.05, "of the owner", higher_is_better=False)


def saved():
    """All shapes as live segments, calculated."""
    w = world()
    if not hasattr(w, "saved"):
        w.saved = [w.save(name, rule) for name, rule, _ in shapes()]
        w.settle()
    return w.saved


def refresh():
    w, full, changed = world(), [], []
    ids = saved()
    for round in range(max(3, ROUNDS // 2)):
        full.append(sum(w.calculate(segment) for segment in ids))
        # Every hundredth contact gets other values of the fields that most of the rules read, drawn as the first ones were.
        psql(f"""UPDATE contacts SET status = (ARRAY['new', 'open', 'customer', 'gone'])[1 + (random() * 3)::int],
                        attributes = attributes || jsonb_build_object(
                            'visits', (random() * 50)::int, 'points', (random() * 1000)::int,
                            'plan', (ARRAY['gold', 'Silver', 'bronze', 'free'])[1 + (random() * 3)::int],
                            'channel', (ARRAY['Web', 'Phone', 'Multichannel'])[1 + (random() * 2)::int])
                 WHERE workspace_id = '{w.workspace}' AND ordinal % 100 = {round}""")
        started = time.time()
        w.settle()
        changed.append(time.time() - started)
    report("refresh of 1 % against all", changed, full, 0.1, "s", higher_is_better=False)


def noop_refresh():
    saved(), world().settle()
    program = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", ROOT / ".build/release")) / "muster-maintenance"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    environment |= {"MUSTER_DATABASE": conninfo("muster_maintenance"), "MUSTER_PUBLIC_URL": ENV["MUSTER_URL"], "MUSTER_LOG_LEVEL": "error"}

    def chore():
        subprocess.run([program, "refresh-segments"], env=environment, check=True)

    tables = psql("""SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
                      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition""").split()

    def written(since):
        """Rows of this workspace that a later transaction wrote, of any table; who leaves a segment leaves a row of history."""
        return sum(int(psql(f"SELECT count(*) FROM {table} WHERE workspace_id = '{world().workspace}' AND xmin::text::bigint > {since}",
                            "postgres")) for table in tables)
    # Time goes on, and whoever flips by it flips in the first of the two.
    chore()
    before = int(psql("SELECT pg_current_xact_id()::text::bigint & 4294967295"))
    chore()
    report("rows of a refresh without changes", [written(before)], None, 0, "rows", higher_is_better=False)


class Client:
    """One connection that is kept."""

    def __init__(self, token):
        self.connection, self.headers = http.client.HTTPConnection(URL.hostname, URL.port, timeout=60), {"Authorization": f"Bearer {token}"}

    def send(self, method, path, body=None):
        headers = {**self.headers, **({"Content-Type": "application/json"} if body else {})}
        self.connection.request(method, path, json.dumps(body).encode() if body else None, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text) if text else None


def contact_path(number):
    return f"/api/contacts/01900000-0000-7000-8000-{number:012x}"


def freshness():
    """Seconds from the answer to a change until a segment shows it, while 200 contacts a second change."""
    w, done, made = world(), threading.Event(), [0] * 4
    saved()
    probe = w.save("Probe", field("attributes.probe", "is", "in"))

    def change(lane):
        client, chance, start, sent = Client(w.token), random.Random(lane), time.time(), 0
        while not done.is_set():
            client.send("PATCH", contact_path(chance.randint(1000, CONTACTS)), {"attributes": {"visits": chance.randint(0, 50), "points": chance.randint(0, 1000)}})
            sent += 1
            made[lane] = sent
            time.sleep(max(0, start + sent / 50 - time.time()))

    threads = [threading.Thread(target=change, args=(lane,), daemon=True) for lane in range(4)]
    for thread in threads:
        thread.start()
    started, client, waits = time.time(), Client(w.token), []
    for number in range(1, 201):
        if time.time() - started > 60 and number > 20:
            break
        client.send("PATCH", contact_path(number), {"attributes": {"probe": "in"}})
        since = time.time()
        while not any(item["id"].endswith(f"{number:012x}") for item in client.send("GET", f"/api/segments/{probe}/contacts?limit=200")["items"]):
            if time.time() - since > 60:
                sys.exit("a change was not visible within a minute")
            time.sleep(0.01)
        waits.append(time.time() - since)
    done.set()
    rate = sum(made) / (time.time() - started)
    for thread in threads:
        thread.join()
    if rate < 190:
        print(f"# only {rate:.0f} contacts a second were changed", file=sys.stderr)
    report(f"change to membership, p95 at {rate:.0f}/s", [percentile(waits, 95)], None, 2, "s", higher_is_better=False)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, len(values) * part // 100)]


def neighbours():
    """Another workspace's listing, quiet and while everything here is calculated."""
    w, heavy = world(), saved()
    client = Client(w.others_token)

    def latencies(until):
        times = []
        while not until():
            started = time.time()
            client.send("GET", "/api/contacts?limit=20")
            times.append((time.time() - started) * 1000)
            time.sleep(0.005)
        return percentile(times, 95)

    def quiet():
        end = time.time() + 5
        return latencies(lambda: time.time() > end)

    def busy():
        job = [call("POST", f"/api/segments/{heavy[-1]}/calculate", w.token)["job"]["id"]]
        end = time.time() + 5

        def over():
            if call("GET", f"/api/jobs/{job[0]}", w.token)["state"] in ("succeeded", "failed"):
                if time.time() > end:
                    return True
                job[0] = call("POST", f"/api/segments/{heavy[-1]}/calculate", w.token)["job"]["id"]
            return False
        return latencies(over)

    quiet()
    pairs = [(busy(), quiet()) for _ in range(max(3, ROUNDS // 2))]
    report("others during a calculation, p95", [a for a, _ in pairs], [b for _, b in pairs], 2, "ms", higher_is_better=False)


figures = {"segments": segments, "rls": rls, "refresh": refresh, "noop-refresh": noop_refresh, "freshness": freshness, "neighbours": neighbours}
