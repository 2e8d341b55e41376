"""How the records of a log lie in a file: JSON lines and documents, Parquet, Arrow, CSV, databases."""
