"""HTTP's rules as plain functions on plain values. No I/O, no clock; standard library and a structured-field parser."""
