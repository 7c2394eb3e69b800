"""The screen mode: an exact or nearly exact coder of logos, text and screenshots, without networks. See `stream`."""
