"""Words with tags, as files and annotation tools have them."""
