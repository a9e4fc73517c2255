#!/usr/bin/env python3
"""Writes webhooks.jsonl beside this file: 3000 webhook events as JSON lines, 37 of them malformed.

The output depends on the seed alone: the same bytes on every run.
"""

import json
import random
import uuid
from datetime import datetime, timedelta
from pathlib import Path

SEED = 20261120
LINES = 3000
MALFORMED = 37
BYTES_MIN, BYTES_MAX = 150, 900

rng = random.Random(SEED)
pick = rng.choice

NAMES = [
    "Zoë Ångström", "Łukasz Żak", "Nguyễn Thị Hoa", "李娜", "佐藤 花子", "محمد الفارسي", "Søren Kjær", "Ana María Núñez",
    "Ольга Смирнова", "Ελένη Παππά", "김민준", "דנה כהן", "Chidi Okafor", "Grace O'Brien", "Jörg Weiß", "Priya Raghunathan",
]
CITIES = [
    ("Kraków", "PL"), ("São Paulo", "BR"), ("東京", "JP"), ("Zürich", "CH"), ("Lagos", "NG"), ("Montréal", "CA"), ("Αθήνα", "GR"),
]
PRODUCTS = [
    "Espresso beans 1 kg", "Café crème cups, set of 6", "Teekanne „Blau“", "Filter paper № 4", "抹茶 100 g", "Grinder burrs 64 mm",
]
NOTES = [
    "Please ring twice", "Gift wrap, s'il vous plaît 🎁", "Leave it at the desk", "bei Nachbarn abgeben", 'Say "hello" from us', None,
]
REPOSITORIES = ["acme/storefront", "acme/billing", "acme/mobile-app", "acme/infra"]
BRANCHES = ["main", "release/4.2", "fix/rounding", "feature/größentabelle"]
SUBJECTS = [
    "Round totals once, at the end", "Retry the upload on a reset connection", "Übersetzungen ergänzen", "Drop the unused index",
    "Show the delivery window\n\nThe page asked for it twice.",
]
HEX = "0123456789abcdef"


def ident(prefix):
    return f"{prefix}_{uuid.UUID(int=rng.getrandbits(128), version=4)}"


def sha():
    return "".join(pick(HEX) for _ in range(40))


def iso(time):
    return time.isoformat(timespec="milliseconds") + "Z"


def one_to_three(make):
    return [make() for _ in range(rng.randrange(1, 4))]


def customer():
    city, country = pick(CITIES)
    return {
        "id": ident("cus"),
        "name": pick(NAMES),
        "email": f"customer{rng.randrange(1, 9000)}@example.com",
        "address": {"city": city, "country": country, "postal_code": str(rng.randrange(10000, 99999))},
    }


def order_item():
    sku = f"SKU-{rng.randrange(1000, 9999)}"
    return {"sku": sku, "title": pick(PRODUCTS), "quantity": rng.randrange(1, 5), "unit_price": rng.randrange(250, 9900)}


def order_created(_time):
    items = one_to_three(order_item)
    total = sum(item["quantity"] * item["unit_price"] for item in items)
    order = {"id": ident("ord"), "currency": pick(["EUR", "JPY", "CHF"]), "total": total, "items": items, "note": pick(NOTES)}
    return "shop", {"order": order, "customer": {"id": ident("cus"), "name": pick(NAMES)}}


def order_shipped(time):
    carrier = pick(["Nordpost", "La Malle", "はやぶさ便"])
    parcel = {"carrier": carrier, "tracking": str(rng.randrange(10**11, 10**12)), "weight_kg": rng.randrange(2, 90) / 10}
    return "shop", {"order_id": ident("ord"), "parcel": parcel, "expected_at": iso(time + timedelta(days=rng.randrange(1, 6)))}


def invoice_paid(time):
    lines = one_to_three(lambda: {"description": pick(PRODUCTS), "amount": rng.randrange(500, 20000)})
    number = f"2026-{rng.randrange(1, 99999):05}"
    invoice = {"id": ident("inv"), "number": number, "lines": lines, "tax_rate": 0.19, "paid_at": iso(time)}
    return "billing", {"invoice": invoice, "customer": customer()}


def customer_updated(_time):
    now = customer()
    previous = {"name": pick(NAMES), "email": now["email"].replace("customer", "old")}
    return "crm", {"customer": now, "previous": previous, "marketing": pick([True, False])}


def push(time):
    author = {"name": pick(NAMES)}
    commits = one_to_three(lambda: {"id": sha(), "message": pick(SUBJECTS), "author": author, "timestamp": iso(time)})
    head = {"ref": f"refs/heads/{pick(BRANCHES)}", "repository": pick(REPOSITORIES), "before": sha(), "after": commits[-1]["id"]}
    return "git", {**head, "commits": commits}


def deployment_status(_time):
    number = rng.randrange(10**6, 10**7)
    state = pick(["success", "success", "failure", "in_progress"])
    log_url = None if state == "in_progress" else f"https://ci.example.com/runs/{number}"
    deployment = {"id": number, "environment": pick(["production", "staging"]), "sha": sha()}
    return "ci", {"deployment": deployment, "state": state, "log_url": log_url, "tags": []}


# Each kind of event, how often it comes, and what makes its source and data.
KINDS = {
    "order.created": (30, order_created),
    "order.shipped": (15, order_shipped),
    "invoice.paid": (20, invoice_paid),
    "customer.updated": (12, customer_updated),
    "push": (12, push),
    "deployment_status": (9, deployment_status),
    "ping": (2, lambda _time: ("shop", {})),
}
WEIGHTS = [weight for weight, _ in KINDS.values()]


def event(time):
    kind = rng.choices(list(KINDS), WEIGHTS)[0]
    source, data = KINDS[kind][1](time)
    head = {"id": ident("evt"), "type": kind, "created_at": iso(time), "source": source, "api_version": "2026-01-15"}
    return {**head, "data": data}


def encode(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def truncated(value):
    line = encode(value)
    return line[: rng.randrange(len(line))]


def trailing_garbage(value):
    return encode(value) + pick([b"}", b",", b" -- retry 2/5", encode({"id": ident("evt")})])


def single_quotes(value):
    return str(value).encode()


def binary_junk(_value):
    noise = bytes(byte for byte in (rng.getrandbits(8) for _ in range(300)) if byte not in b"\0\n\r")
    return b"\x1f\x8b\x08" + noise


def mismatched_braces(value):
    return encode({**value, "data": {}})[:-1] + pick([b"}}", b"]", b',"meta":{}}}'])


DAMAGES = [truncated, trailing_garbage, single_quotes, binary_junk, mismatched_braces]


def lines():
    stretch = LINES // MALFORMED
    damaged = {n * stretch + rng.randrange(stretch): DAMAGES[n % len(DAMAGES)] for n in range(MALFORMED)}
    time = datetime(2026, 3, 2, 8)
    for number in range(LINES):
        time += timedelta(milliseconds=rng.randrange(20, 4000))
        line = b""
        # An event of the wrong size is made again.
        while not BYTES_MIN <= len(line) <= BYTES_MAX:
            line = damaged.get(number, encode)(event(time))
        yield line


if __name__ == "__main__":
    Path(__file__).with_name("webhooks.jsonl").write_bytes(b"".join(line + b"\n" for line in lines()))
