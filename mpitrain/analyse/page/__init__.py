"""Pages that stand alone: figures as inline SVG whose colours follow the reader's theme."""
