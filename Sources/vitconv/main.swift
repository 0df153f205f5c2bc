print("vitconv")
