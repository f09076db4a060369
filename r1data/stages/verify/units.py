"""Units and counters after a number: what they measure, so that 10 cm is not 10 m."""

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: what it measures and how many base units it is.

    Counters (개, 本, apples) have the dimension "", which is comparable with anything.
    """

    dimension: str
    factor: Fraction = Fraction(1)


_MEASURES = {
    "length": {
        "nm nanometer nanometers": "1/1000000000",
        "mm millimeter millimeters millimetre millimetres 밀리미터 毫米 ミリメートル": "1/1000",
        "cm centimeter centimeters centimetre centimetres 센티미터 센치 센티 厘米 公分 センチ "
        "センチメートル": "1/100",
        "dm decimeter decimeters decimetre decimetres 分米": "1/10",
        "m meter meters metre metres 미터 米 公尺 メートル": "1",
        "km kilometer kilometers kilometre kilometres 킬로미터 千米 公里 キロメートル キロ": "1000",
        "inch inches in 인치": "127/5000",
        "foot feet ft 피트 英尺": "381/1250",
        "yard yards yd yds 야드": "1143/1250",
        "mile miles mi 마일 英里": "201168/125",
    },
    "mass": {
        "mg milligram milligrams 밀리그램 毫克": "1/1000",
        "g gram grams 그램 克 グラム": "1",
        "kg kilogram kilograms kgs 킬로그램 千克 公斤 キログラム": "1000",
        "ton tons tonne tonnes 톤 吨 トン": "1000000",
        "pound pounds lb lbs 파운드 磅": "45359237/100000",
        "ounce ounces oz 온스": "45359237/1600000",
    },
    "time": {
        "s sec secs second seconds 초 秒 秒钟": "1",
        "min mins minute minutes 분 分钟 分鐘 分間": "60",
        "h hour hours hr hrs 시간 小时 小時 時間 钟头": "3600",
        "day days 일 天 日 日間 일간": "86400",
        "week weeks 주 주일 周 星期 週間": "604800",
    },
    "month": {
        "month months 개월 달 个月 個月 か月 ヶ月": "1",
        "year years yr yrs 년 年 年間": "12",
    },
    "length3": {
        "ml milliliter milliliters millilitre millilitres 밀리리터 毫升 ミリリットル": "1/1000000",
        "l liter liters litre litres 리터 升 公升 リットル": "1/1000",
        "cc": "1/1000000",
        "gallon gallons gal": "473176473/125000000000",
        "세제곱센티미터 立方厘米 立方公分": "1/1000000",
        "세제곱미터 立方米": "1",
    },
    "length2": {
        "제곱센티미터 平方厘米 平方公分": "1/10000",
        "제곱미터 平方米 평방미터": "1",
        "제곱킬로미터 平方千米 平方公里": "1000000",
        "hectare hectares ha 헥타르 公顷": "10000",
        "acre acres": "316160658/78125",
    },
    "angle": {"degree degrees deg 도 度 °": "1", "radian radians rad rads 라디안 弧度": "rad"},
    "celsius": {"°c ℃ 섭씨": "1"},
    "fahrenheit": {"°f ℉": "1"},
    "dollar": {
        "dollar dollars usd 달러 美元 $ ドル": "1",
        "cent cents 센트 美分 ¢": "1/100",
    },
    "won": {"won krw 원 ₩ 韩元 ウォン": "1"},
    "yuan": {
        "yuan cny rmb 元 块 块钱 위안 人民币": "1",
        "角 jiao": "1/10",
    },
    "yen": {"yen jpy 엔 円 日元 日圆": "1"},
    "euro": {"euro euros eur 유로 欧元 € ユーロ": "1"},
    "sterling": {"£ gbp": "1", "pence penny 펜스": "1/100"},
    "rupee": {"rupee rupees rs ₹ inr": "1"},
    "force": {"n newton newtons": "1", "kn": "1000"},
    "energy": {"j joule joules": "1", "kj kilojoules": "1000"},
    "power": {"w watt watts": "1", "kw": "1000"},
    "resistance": {"ohm ohms omega Ω 옴 欧姆": "1"},
    "voltage": {"v volt volts 볼트 伏": "1", "kv": "1000"},
    "current": {"ampere amperes amp amps 암페어 安培": "1"},
    "frequency": {"hz hertz 헤르츠 赫兹": "1", "khz": "1000"},
    "bit": {"bit bits 비트": "1", "byte bytes 바이트 字节": "8"},
    "dozen": {"dozen dozens 다스": "12"},
    "length/time": {"mph": "201168/450000", "kmh kph kmph": "5/18"},
}
_COUNTERS = (
    "개 명 마리 권 장 대 번 살 세 쪽 페이지 송이 그루 자루 켤레 병 잔 봉지 상자 조각 판 "
    "줄 층 점 팀 월 인분 가지 문제 바퀴 분 원짜리 사람 학생 묶음 통 포기 척 채 벌 쌍 곳 "
    "군데 회 배 등 위 차례 칸 시 모 알 톨 그릇 접시 다발 뭉치 units unit unit(s) points "
    "point times people students 个 個 只 隻 本 张 張 人 名 头 條 条 棵 朵 枝 支 "
    "页 頁 岁 歲 辆 次 件 座 台 双 把 颗 粒 片 箱 袋 瓶 月 分 题 层 间 位 匹 套 艘 架 步 "
    "下 盒 组 排 种 回 倍 名学生 束 点 桶 串 顶 副 面 块糖 冊 枚 羽 杯 歳 階 円玉 つ コ "
    "組 人分 号 班 "
)


def _table() -> dict[str, Unit]:
    out: dict[str, Unit] = {}
    for dimension, rows in _MEASURES.items():
        for names, factor in rows.items():
            unit = Unit("radian") if factor == "rad" else Unit(dimension, Fraction(factor))
            out |= dict.fromkeys(names.split(), unit)
    out["分"] = Unit("time?", Fraction(60))
    for name in _COUNTERS.split():
        out.setdefault(name, Unit(""))
    return out


UNITS = _table()
"""Units by name."""

PREFIXES = {sign: UNITS[sign] for sign in "$€₩£₹"} | {"¥": Unit("yen or yuan")}
"""Signs of money before a number."""

_OF = re.compile(r"\s+of\s+[a-z][a-z ]*$")
_SQUARE = re.compile(r"^(?:square|sq\.?|제곱|平方)\s*")
_CUBIC = re.compile(r"^(?:cubic|cu\.?|세제곱|立方)\s*")
_POWER = re.compile(r"\s?(?:\^\s?\{?\s?(-?[1-4])\s?\}?|(?<=[a-z])([23]))$")
_PER = re.compile(r"\s*(?:/|\\cdot per|\bper\b|\ba\b)\s*")
_TIMES = re.compile(r"\s*(?:\\cdot|\*|·)\s*|\s+")


def parse_unit(text: str) -> Unit | None:
    """Return the unit that a whole text is: ``km``, ``m/s``, ``cm^2``, ``square feet``."""
    text = _OF.sub("", text.strip().strip("\\.()").strip())
    if not text or len(text) > 40:
        return None
    if direct := _single(text):
        return direct
    above, *below = _PER.split(text)
    if len(below) > 1:
        return None
    total = _product(above)
    if below and total is not None:
        under = _product(below[0])
        if under is None:
            return None
        return Unit(f"{total.dimension}/{under.dimension}", total.factor / under.factor)
    return total


def _product(text: str) -> Unit | None:
    factors = [_single(part) for part in _TIMES.split(text) if part] if text else []
    if len(factors) != 1:
        return None
    return factors[0]


def _single(text: str) -> Unit | None:
    text = text.strip()
    power = 1
    if prefix := _SQUARE.match(text.lower()):
        text, power = text[prefix.end() :], 2
    elif prefix := _CUBIC.match(text.lower()):
        text, power = text[prefix.end() :], 3
    elif found := _POWER.search(text):
        text, power = text[: found.start()], int(found[1] or found[2])
    name = text.strip().rstrip(".")
    unit = UNITS.get(name) or UNITS.get(name.lower())
    if unit is None or power == 1:
        return unit
    return unit_power(unit, power)


def unit_power(unit: Unit, power: int) -> Unit:
    """Return the unit of an area (2) or a volume (3)."""
    if power == 1 or not unit.dimension:
        return unit
    return Unit(f"{unit.dimension}{power}", unit.factor**power)


MINUTE_OR_POINT = Unit("time?", Fraction(60))
"""分: minutes beside another time, points or hundredths of a yuan elsewhere."""


def resolved(unit: Unit | None, other: Unit | None) -> Unit | None:
    """Return the unit, 分 as what it is beside the other's unit."""
    beside = other.dimension if other else ""
    if unit and unit.dimension == "yen or yuan" and beside in ("yen", "yuan", ""):
        return other or Unit("")
    if unit is None or unit != MINUTE_OR_POINT:
        return unit
    if beside == "yuan":
        return Unit("yuan", Fraction(1, 100))
    return Unit("time", unit.factor) if beside == "time" else Unit("")


def comparable(one: Unit | None, other: Unit | None) -> bool:
    """Return whether both units say what they measure, so that they can contradict."""
    return bool(one and other and one.dimension and other.dimension)
