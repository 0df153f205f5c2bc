VitconvCommand.start()
