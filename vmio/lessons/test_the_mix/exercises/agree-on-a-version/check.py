from vmio.lab import attempted, expect, seeded

KNOWN = ("5.3", "5.2", "5.1", "5.0", "4.1", "4.0", "3.0", "2.4")


def check(agree):
    random = seeded(41)
    cases = [(list(KNOWN), {"2.4"}, False), (["5.3", "5.2"], {"4.0", "2.4"}, False), (list(KNOWN), set(KNOWN), False), (["3.0", "2.4"], {"3.0"}, True)]
    for _ in range(40):
        asks = random.sample(KNOWN, random.randint(1, len(KNOWN)))      # not always the newest first: the order is the guest's own
        cases.append((asks, set(random.sample(KNOWN, random.randint(0, len(KNOWN)))), random.random() < 0.2))
    for versions, speaks, lies in cases:
        asked = []

        def ask(version):
            asked.append(version)
            return version in speaks, "1.1" if lies else version
        given = f"versions {versions}, the host speaks {sorted(speaks) or 'none'}{', and says 1.1 when it agrees' if lies else ''}"
        found = next((version for version in versions if version in speaks), None)
        answer = agree(list(versions), ask)
        if not asked:
            attempted(answer, given, str, "a version; nothing was asked")
        expect(answer, None if lies else found, given=given)
        needed = versions[:versions.index(found) + 1] if found else versions
        expect(asked, needed, given=f"{given}: what was asked for")
    return f"{len(cases)} hosts, and each was asked as often as it takes."
