"""The workbook `my_detector/`, and what is remembered beside it: progress, hints, the journal."""
