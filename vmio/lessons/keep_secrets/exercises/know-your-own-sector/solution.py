import hmac


class Tags:
    def __init__(self, key):
        self.key = key

    def make(self, lba, sector):
        """Return the tag of a sector, 32 bytes."""
        return hmac.digest(self.key, lba.to_bytes(8, "little") + sector, "sha256")

    def is_mine(self, lba, sector, tag):
        """Return whether this sector was written at this place with this key."""
        return hmac.compare_digest(self.make(lba, sector), tag)
