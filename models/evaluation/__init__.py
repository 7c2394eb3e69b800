"""What the codec is worth: measured beside other formats, as figures, tables and plots."""
