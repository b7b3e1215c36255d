#!/usr/bin/env python3
"""What Twilio and SendGrid publish for their customers, pointed at Muster: their libraries take our sandbox for the provider,
accept the signatures that it makes, and make signatures that our webhooks accept. On a stack that `make run` started."""
import base64, hashlib, http.client, http.server, json, os, pathlib, secrets, sys, threading, time, urllib.parse

import ecdsa
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.mail import CustomArg, Header, Mail
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = pathlib.Path(os.environ.get("MUSTER_RUN_DIR", ROOT / ".run"))
ENV = dict(line.split("=", 1) for line in (RUN / "env").read_text().splitlines() if "=" in line)
SANDBOX = ENV["MUSTER_SANDBOX_URL"].rstrip("/")
URL = urllib.parse.urlsplit(ENV["MUSTER_URL"])
failures = 0


def check(what, found, expected=True):
    global failures
    print(f"{'ok  ' if found == expected else 'FAIL'} {what}" + ("" if found == expected else f": {found!r}, expected {expected!r}"), flush=True)
    failures += found != expected


def request(method, path, body=None, headers=()):
    """Any answer is an answer."""
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=60)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def call(method, path, body=None, key=ENV["MUSTER_API_KEY"]):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    status, text = request(method, path, None if body is None else json.dumps(body), headers)
    if status >= 300:
        sys.exit(f"{method} {path}: {status} {text[:500]}")
    return json.loads(text) if text else None


class Receiver(http.server.BaseHTTPRequestHandler):
    """A customer's webhook: keeps what comes, as it came."""
    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def until(what, ask, seconds=30):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if value := ask():
            return value
        time.sleep(0.05)
    sys.exit(f"waited {seconds} s in vain for {what}")


class ToSandbox(TwilioHttpClient):
    """The library's own client; only the host is another."""
    def request(self, method, url, *arguments, **named):
        return super().request(method, url.replace("https://api.twilio.com", SANDBOX), *arguments, **named)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"

# MARK: Twilio

account, token = "AC" + secrets.token_hex(16), secrets.token_hex(16)
path = urllib.parse.urlsplit(SANDBOX).path
call("POST", f"{path}/accounts", {"account_sid": account, "auth_token": token})
call("POST", f"{path}/faults", {})
client = Client(account, token, http_client=ToSandbox())

# A query with escapes: the signature covers it as it was given.
callback = f"{here}/status?who=a%20b&m=x%27y"
sent = client.messages.create(to="+12025550143", from_="+12025550100", body="Grüße – 20 € für Sie", status_callback=callback)
check("twilio: create answers with a message", (sent.sid[:2], sent.to, sent.direction, sent.error_code), ("SM", "+12025550143", "outbound-api", None))
check("twilio: parts are counted", sent.num_segments, "1")
check("twilio: dates are read", sent.date_created is not None)
check("twilio: fetch finds it", client.messages(sent.sid).fetch().body, "Grüße – 20 € für Sie")
check("twilio: list finds it", [message.sid for message in client.messages.list(to="+12025550143", limit=5)], [sent.sid])
for number, code, status in (("12345", 21211, 400),):
    try:
        client.messages.create(to=number, from_="+12025550100", body="Hi")
        check("twilio: a bad number is refused", False)
    except TwilioRestException as error:
        check("twilio: a bad number is refused", (error.status, error.code), (status, code))
try:
    Client(account, "wrong", http_client=ToSandbox()).messages.create(to="+12025550143", from_="+12025550100", body="Hi")
    check("twilio: a wrong token is refused", False)
except TwilioRestException as error:
    check("twilio: a wrong token is refused", (error.status, error.code), (401, 20003))

final = until("the callback of a final status", lambda: [r for r in Receiver.received if b"MessageStatus=delivered" in r[2]])
validator = RequestValidator(token)
for target, headers, body in list(Receiver.received):
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    signature = headers["X-Twilio-Signature"]
    check(f"twilio: its validator accepts our {form['MessageStatus']} callback", validator.validate(here + target, form, signature))
    check("twilio: and not another text", validator.validate(here + target, form | {"MessageStatus": "read"}, signature), False)

# Their signature, our webhook: of a sender with these credentials.
sender = call("POST", "/api/senders", {
    "name": f"Library {secrets.token_hex(4)}", "channel": "sms", "provider": "twilio", "from": "+12025550100", "rate_parts_per_second": 1,
    "credentials": {"account_sid": account, "auth_token": token}})["id"]


def told(url_path, form, signature):
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"X-Twilio-Signature": signature} if signature else {})
    return request("POST", url_path, urllib.parse.urlencode(form), headers)


status_path = f"/webhooks/twilio/{sender}/status?m=0190f5c2-0000-7000-8000-000000000000"
form = {"MessageSid": "SM" + secrets.token_hex(16), "MessageStatus": "sent", "AccountSid": account, "To": "+12025550143", "From": "+12025550100",
        "Empty": "", "Ünïcode": "ça va? ñ 😀", "zz": "&=+% ", "AA": "1"}
good = validator.compute_signature(ENV["MUSTER_URL"].rstrip("/") + status_path, form)
check("our webhook accepts a callback that their library signed", told(status_path, form, good)[0] in (200, 204))
check("and refuses it with another value", told(status_path, form | {"MessageStatus": "delivered"}, good)[0], 403)
check("at another address", told(status_path.replace("m=0190", "m=0191"), form, good)[0], 403)
check("with another token", told(status_path, form, RequestValidator("wrong").compute_signature(ENV["MUSTER_URL"] + status_path, form))[0], 403)
check("without a signature", told(status_path, form, None)[0], 403)
inbound_path = f"/webhooks/twilio/{sender}/inbound"
inbound = {"MessageSid": "SM" + secrets.token_hex(16), "AccountSid": account, "From": "+12025550143", "To": "+12025550100", "Body": "Is it open on Sunday? 🙂",
           "NumMedia": "0", "NumSegments": "1", "ApiVersion": "2010-04-01"}
status, answer = told(inbound_path, inbound, validator.compute_signature(ENV["MUSTER_URL"].rstrip("/") + inbound_path, inbound))
check("our webhook takes a reply that their library signed, and answers in TwiML", (status, b"<Response" in answer), (200, True))

# MARK: SendGrid

api_key = "SG." + secrets.token_urlsafe(24)
public_key = call("POST", f"{path}/mail-keys", {"api_key": api_key, "events_url": f"{here}/events"})["public_key"]
mail = Mail(from_email="team@shop.example", to_emails="reader@people.example", subject="Grüße 🙂", plain_text_content="Hallo", html_content="<p>Hallo</p>")
mail.add_header(Header("X-Test", "yes"))
mail.add_custom_arg(CustomArg("message_id", "0190f5c2-0000-7000-8000-000000000000"))
answer = SendGridAPIClient(api_key, host=SANDBOX).send(mail)
check("sendgrid: a mail is taken, under an id", (answer.status_code, bool(answer.headers["X-Message-Id"])), (202, True))
for what, make, refusal in (
        ("a wrong key", lambda: SendGridAPIClient("SG.wrong", host=SANDBOX).send(mail), UnauthorizedError),
        ("a mail without a subject", lambda: SendGridAPIClient(api_key, host=SANDBOX).send(
            Mail(from_email="team@shop.example", to_emails="a@people.example", subject="", plain_text_content="x")), BadRequestsError)):
    try:
        make()
        check(f"sendgrid: {what} is refused", False)
    except refusal as error:
        check(f"sendgrid: {what} is refused, with its reasons", bool(json.loads(error.body)["errors"]))

events = until("a signed event", lambda: [r for r in Receiver.received if r[0] == "/events" and b'"delivered"' in r[2]])
verifier = EventWebhook(public_key)
for target, headers, body in [r for r in Receiver.received if r[0] == "/events"]:
    headers = {name.lower(): value for name, value in headers.items()}
    signature, timestamp = (headers[f"x-twilio-email-event-webhook-{part}"] for part in ("signature", "timestamp"))
    check("sendgrid: its verifier accepts our events", verifier.verify_signature(body.decode(), signature, timestamp))
    check("sendgrid: and not another text", verifier.verify_signature(body.decode().replace("reader", "writer"), signature, timestamp), False)
    check("sendgrid: nor another time", verifier.verify_signature(body.decode(), signature, str(int(timestamp) + 1)), False)

# Their signature, our webhook.
key = ecdsa.SigningKey.generate(ecdsa.NIST256p)
mine = base64.b64encode(key.verifying_key.to_der()).decode()
mailer = call("POST", "/api/senders", {
    "name": f"Library mail {secrets.token_hex(4)}", "channel": "email", "provider": "sendgrid", "from_email": "team@shop.example",
    "rate_parts_per_second": 1, "credentials": {"api_key": api_key, "webhook_public_key": mine}})["id"]


def told_events(body, signed=None, timestamp=None, by=key):
    timestamp = timestamp or str(int(time.time()))
    made = by.sign((timestamp + (signed or body)).encode(), hashfunc=hashlib.sha256, sigencode=ecdsa.util.sigencode_der)
    signature = base64.b64encode(made).decode()
    return request("POST", f"/webhooks/sendgrid/{mailer}/events", body.encode(), {
        "Content-Type": "application/json", "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp})[0]


batch = json.dumps([{"email": "réader@people.example", "timestamp": int(time.time()), "event": "processed", "sg_event_id": secrets.token_urlsafe(16),
                     "sg_message_id": "abc.recv-1"}], ensure_ascii=False) + "\r\n"
check("our webhook accepts events signed with the library that theirs verifies with", told_events(batch) in (200, 204))
check("and refuses them with another text", told_events(batch.replace("processed", "delivered"), signed=batch), 403)
check("and by another key", told_events(batch, by=ecdsa.SigningKey.generate(ecdsa.NIST256p)), 403)

server.shutdown()
print("all accepted" if not failures else f"{failures} failed")
sys.exit(1 if failures else 0)
