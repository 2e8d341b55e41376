"""Engine gates: what a segment needs so that serving engines handle it correctly.

`static` has the gates that depend only on a text, and the order of all gates; a new gate is added there.
"""
