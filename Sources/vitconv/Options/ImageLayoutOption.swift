public import ArgumentParser
public import Pipeline

extension ImageLayout: ExpressibleByArgument {}
extension BFloat16Arithmetic: ExpressibleByArgument {}
