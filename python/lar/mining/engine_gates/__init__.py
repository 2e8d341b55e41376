"""Engine gates: what a segment needs so that serving engines handle it correctly."""
