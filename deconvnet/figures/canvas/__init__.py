"""What every figure is drawn with: sheet, tiles, contrast, text."""
