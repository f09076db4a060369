"""Units and counters after a number: what they measure, so that 10 cm is not 10 m."""

from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: what it measures and how many base units it is."""

    dimension: str
    factor: Fraction = Fraction(1)


def _table() -> dict[str, Unit]:
    out: dict[str, Unit] = {}
    measures = {
        "length": {
            "mm millimeter millimeters millimetre millimetres 밀리미터 毫米": "1/1000",
            "cm centimeter centimeters centimetre centimetres 센티미터 厘米": "1/100",
            "m meter meters metre metres 미터 米": "1",
            "km kilometer kilometers kilometre kilometres 킬로미터 千米 公里": "1000",
            "inch inches": "127/5000",
            "foot feet ft 피트": "381/1250",
            "yard yards": "1143/1250",
            "mile miles 마일": "201168/125",
        },
        "mass": {
            "mg 毫克": "1/1000",
            "g gram grams 그램 克": "1",
            "kg kilogram kilograms 킬로그램 千克 公斤": "1000",
            "ton tons 톤 吨": "1000000",
            "pound pounds lb lbs 파운드": "45359237/100000",
        },
        "time": {
            "s second seconds 초 秒": "1",
            "min minute minutes 분 分钟": "60",
            "h hour hours hr hrs 시간 小时": "3600",
            "day days 일 天": "86400",
            "week weeks 주 周": "604800",
        },
        "volume": {
            "ml milliliter milliliters 밀리리터 毫升": "1/1000",
            "l liter liters litre litres 리터 升": "1",
        },
        "angle": {"degree degrees 도 度 °": "1"},
        "dollar": {"dollar dollars usd 달러 美元": "1", "cent cents 센트": "1/100"},
        "won": {"won krw 원": "1"},
        "yuan": {"yuan cny rmb 元 块 위안": "1"},
        "yen": {"yen jpy 엔 円 日元": "1"},
        "euro": {"euro euros eur 유로 欧元": "1"},
    }
    for dimension, rows in measures.items():
        for names, factor in rows.items():
            for name in names.split():
                out[name] = Unit(dimension, Fraction(factor))
    counters = (
        "개 명 마리 권 장 대 번 살 세 쪽 페이지 송이 그루 자루 켤레 병 잔 봉지 "
        "상자 조각 판 줄 층 점 팀 년 월 인분 가지 문제 바퀴 units unit "
        "points point 个 個 只 本 张 張 人 名 头 條 条 棵 朵 枝 支 页 "
        "頁 岁 歲 辆 次 件 块钱 座 台 双 把 颗 粒 片 箱 袋 瓶 年 月 个月 分 "
        "题 层 间 位 匹 套 艘 架 步 下 盒 组 排 种 "
    )
    for name in counters.split():
        out.setdefault(name, Unit(""))
    squares = {"제곱센티미터": "1/10000", "제곱미터": "1", "平方厘米": "1/10000", "平方米": "1"}
    for name, factor in squares.items():
        out[name] = Unit("length2", Fraction(factor))
    cubes = {
        "세제곱센티미터": "1/1000000",
        "세제곱미터": "1",
        "立方厘米": "1/1000000",
        "立方米": "1",
    }
    for name, factor in cubes.items():
        out[name] = Unit("length3", Fraction(factor))
    return out


UNITS = _table()
"""Units by name. Counters have the dimension "", which is comparable with anything."""


def unit_power(unit: Unit, power: int) -> Unit:
    """Return the unit of an area (2) or a volume (3)."""
    if power == 1 or not unit.dimension:
        return unit
    return Unit(f"{unit.dimension}{power}", unit.factor**power)
