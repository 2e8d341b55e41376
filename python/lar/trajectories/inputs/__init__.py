"""Where logs lie: files, folders, archives, compressed data and URLs."""
