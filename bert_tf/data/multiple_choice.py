def read_sets(settings, sets):
    pass
