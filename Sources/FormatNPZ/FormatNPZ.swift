// FormatNPZ
