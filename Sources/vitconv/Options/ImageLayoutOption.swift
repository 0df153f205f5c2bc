public import ArgumentParser
public import Pipeline

extension ImageLayout: ExpressibleByArgument {}
