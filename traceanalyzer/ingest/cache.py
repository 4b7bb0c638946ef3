"""stub replaced soon"""
def lookup(path): return None
def store(path, sha256, trace): return None
