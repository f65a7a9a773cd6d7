"Print the lower bounds of settings.ini as pip constraints: the oldest versions promised to work."
from configparser import ConfigParser

settings = ConfigParser(delimiters=["="])
settings.read("settings.ini", encoding="utf-8")
for line in settings["DEFAULT"]["requirements"].split(): print(line.replace(">=", "=="))
