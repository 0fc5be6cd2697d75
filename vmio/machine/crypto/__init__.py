"""What keeps bytes secret and whole: keys, sealed records, the header of an encrypted disk."""
