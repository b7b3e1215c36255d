#!/usr/bin/env python3
"""Prints the rows of `number_places` (migration 0093): where a number may be, by how it begins.

Zones of area codes in the United States and Canada are libphonenumber's, by the package `phonenumbers` from PyPI; those
of other countries are tzdata's (zone.tab), for libphonenumber takes Paris for Algiers. Look at what changes before it
becomes a migration: libphonenumber learns overlays late, so codes that share an area are joined here.
"""
import collections
import sys
import textwrap

import phonenumbers
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA

STATES = dict(zip(
    "Alabama,Alaska,Arizona,Arkansas,California,Colorado,Connecticut,Delaware,Washington D.C.,Florida,Georgia,Hawaii,Idaho,"
    "Illinois,Indiana,Iowa,Kansas,Kentucky,Louisiana,Maine,Maryland,Massachusetts,Michigan,Minnesota,Mississippi,Missouri,"
    "Montana,Nebraska,Nevada,New Hampshire,New Jersey,New Mexico,New York,North Carolina,North Dakota,Ohio,Oklahoma,Oregon,"
    "Pennsylvania,Rhode Island,South Carolina,South Dakota,Tennessee,Texas,Utah,Vermont,Virginia,Washington State,"
    "West Virginia,Wisconsin,Wyoming".split(","),
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI "
    "SC SD TN TX UT VT VA WA WV WI WY".split()))
TERRITORIES = {"AS", "GU", "MP", "PR", "VI"}
# Codes of more than one place in the data, none of which is the state.
STATE_OF = {"203": "CT", "310": "CA", "713": "TX", "718": "NY"}
# Codes laid over the area of others: whoever has one may be wherever the others reach (North American Numbering Plan
# Administrator). The data know 448, 458, 364 and 930 in a single zone, and 689 (Orlando) in the wrong one.
OVERLAYS = ["208 986", "250 236 257 672 778", "270 364", "306 474 639", "407 689", "418 367 581", "541 458", "709 879", "812 930",
            "850 448"]
WRONG = {"689": {"America/Chicago"}, "474": {"America/Winnipeg"}, "879": {"America/Puerto_Rico"}}


def zones_by_country():
    zones = collections.defaultdict(set)
    with open("/usr/share/zoneinfo/zone.tab", encoding="utf-8") as table:
        for line in table:
            if not line.startswith("#"):
                country, _, zone = line.split()[:3]
                zones[country].add(zone)
    # tzdata has no zone of their own for these.
    zones["XK"] = zones["RS"]
    zones["AC"] = zones["SH"]
    return zones


COUNTRIES = zones_by_country()


def north_america():
    zones = collections.defaultdict(set)
    for prefix, names in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) >= 4:
            zones[prefix[1:4]].update(set(names) - WRONG.get(prefix[1:4], set()))
    for overlay in OVERLAYS:
        shared = set().union(*(zones[code] for code in overlay.split()))
        for code in overlay.split():
            zones[code] = shared
    grouped = collections.defaultdict(list)
    for code, names in sorted(zones.items()):
        region = region_of(code)
        if region != "CA" and region.removeprefix("US-") not in STATES.values():
            names = COUNTRIES[region.removeprefix("US-")]
        grouped[region, ",".join(sorted(names))].append(code)
    return grouped


def region_of(code):
    country = phonenumbers.region_code_for_number(phonenumbers.PhoneNumber(country_code=1, national_number=int(code + "2001234")))
    if country != "US":
        return f"US-{country}" if country in TERRITORIES else country
    place = GEOCODE_DATA.get("1" + code, {}).get("en", "")
    state = STATES.get(place) or place.rpartition(", ")[2] or STATE_OF.get(code)
    return f"US-{STATE_OF.get(code, state)}"


def world():
    for code, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items(), key=lambda item: str(item[0])):
        # 001: of the whole world, such as free numbers and satellites.
        if code == 1 or "001" in regions:
            continue
        names = set().union(*(COUNTRIES[region] for region in regions))
        if not names:
            sys.exit(f"+{code} ({', '.join(regions)}) has no zone: say which, in zones_by_country")
        yield code, regions[0], ",".join(sorted(names))


def show(rows, indent):
    text = textwrap.fill(",\n".join(rows), 126, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False,
                         break_long_words=False)
    for line in text.splitlines():
        print("\n".join(textwrap.wrap(line.replace(",", ", "), 126, initial_indent=indent, subsequent_indent=indent,
                                      break_on_hyphens=False)) if len(line) > 128 else line)


print(f"-- phonenumbers {phonenumbers.__version__}, by area code")
show([f"('{region}','{{{zones}}}','{{{','.join(codes)}}}')" for (region, zones), codes in sorted(north_america().items())], "    ")
print("-- by country")
show([f"('+{code}','{region}','{{{zones}}}')" for code, region, zones in world()], "    ")
