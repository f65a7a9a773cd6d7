"Give setuptools what settings.ini says; all else stands in pyproject.toml."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

settings = ConfigParser(delimiters=["="])
settings.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
own = settings["DEFAULT"]
lines = lambda key: own[key].strip().splitlines()

setup(
    description=own["description"],
    keywords=own["keywords"].split(),
    install_requires=lines("requirements"),
    extras_require={"dev": lines("dev_requirements") + lines("fast_requirements"), "fast": lines("fast_requirements")},
)
