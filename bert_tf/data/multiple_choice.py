"""Several endings of a text, of which one is right: files in SWAG's columns.

    sent1, sent2, ending0, ending1, …, label

in CSV with a header, or as keys of JSON objects, one a line, where `endings`
may be a list. The label is the number of the right ending.
"""
