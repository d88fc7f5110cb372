"""The workbook `my_detector/`, and the files beside it: progress, hints, the journal."""
