// FormatONNX
