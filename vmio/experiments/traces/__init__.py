"""Block traces in the forms in which they are published: recognised by content, read a line at a time.

`reader.load` is the way in; `text` knows files, `fields` numbers, and each other file one form or a few.
"""
