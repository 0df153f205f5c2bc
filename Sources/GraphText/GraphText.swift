// GraphText
