"""From a run folder to words, tables and pictures; torch is never imported, so a report rebuilds anywhere in seconds."""
