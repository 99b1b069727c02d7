"""Chinese script: print variants folded together, traditional to simplified and back.

One encoder for the corpus and for what people type. Knows no poems and no model.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping

import opencc

from poetgen.poem import Script

# Characters that differ only in print (or by a scribe's habit), never in meaning or sound in verse. Each group is
# folded to its first member. Pairs whose members are separate words somewhere (里 and 裏, 才 and 纔, 後 and 后,
# 雲 and 云, 飢 and 饑, 沈 and 沉 ...) are left apart on purpose.
_VARIANT_GROUPS = """
煙烟 閑閒 遊逰 迴廻 黃黄 跡迹蹟 遙遥 涼凉 歎嘆 群羣 床牀 況况 臥卧 繞遶 搖摇揺 挂掛
峰峯 彩綵 攜携擕 帶帯带 臺坮 橫横 修脩 顏顔颜 並竝 溪谿 杯盃 雞鷄 瑤瑶 淒凄 徑逕 強强彊
淨浄净凈 艷豔艶 却卻 虛虚虗 逾踰 筍笋 鑑鑒 潛潜 鈎鉤 污汙汚 靜静 閱閲 歷歴厯 茲玆 巖岩巌 崑崐
韻韵 決决 裊嫋 灑洒 庵菴 秘祕 脫脱 泛汎氾 爭争 鍊煉錬 啟啓啔 恥耻 鳧鳬 溫温 戶户 濕溼
眾衆 牆墻 羨羡 旗旂 淚泪涙 鬱欝鬰 脈脉 隨随 綠緑 廚厨 搗擣 蓑簑 針鍼 凜凛 沒没 湧涌
腳脚 棋棊碁 溯泝遡 凶兇 繡綉 產産 勳勛勲 線綫 鐫鎸 虯虬 蝨虱 祿禄 灩灧 侶侣 恆恒 蓋盖
教敎 壯壮 拋抛 狸貍 齧嚙囓 吳吴 袞衮 禿秃 罵駡 蔥葱 廈厦 剎刹 醞醖 盜盗 羶膻 減减
搜蒐捜 飧飱 娛娱 蹤踪 彥彦 蘊藴 墮堕 蓴蒓 館舘 臘腊 剝剥 裝装 悅悦 謠謡 寧甯寜 亙亘
奧奥 參参 緼縕 髒臟 災灾烖 喚唤 樓楼 銳鋭 噓嘘 鉢缽 敘敍叙 豬猪 鱷鰐 魚鱼 數数 俊儁
疊叠 隱隠隐 豎竪 癡痴 呂吕 甕瓮 殼殻 噪譟 獎奬 癢痒 願愿 稅税 捍扞 蛻蜕 慍愠 廩廪
寢寝 冊册 氳氲 峽峡 穩穏稳 廁厠 慘惨 棄弃 禪禅 曬晒 愜惬 踴踊 礙碍 貓猫 壞壊 稟禀
屬属 錄録 抬擡 篋箧 勻匀 餚肴 漵溆 媼媪 膽胆 戲戯戱 愛爱 蠅蝇 真眞 翻飜 郎郞 即卽
瓶甁缾 鎮鎭 衛衞 緒緖 慎愼 研硏 褒襃 寬寛 概槪 餅餠 歲歳嵗 每毎 懷懐 徵徴 渴渇 樣様
勖勗 敕勅 覽覧 穎頴 壤壌 鄉鄕郷 聽聴聼 縱縦 釀醸 嘗甞 劍劒劔 鄰隣 鬢鬂髩 裏裡 為爲 清淸
青靑 說説 絕絶 吞呑 毗毘 別别 冰氷 淵渊 窗窓牕窻 霸覇 祇衹 憐怜 讎讐 陰隂 兩両 聲声
斷断 斂歛 歡懽 鵝鵞 疏疎踈 妝粧 猿猨 鴉鵶 蘂蕊蕋蘃 瘦痩 奇竒 迥逈 皓皜 窯窑 遍徧 嫩嫰
舵柁 鞋鞵 襪韈 箋牋 暖煖 草艸 野埜 回囘 村邨 晚晩 吃喫 麥麦 來来 歸归 鐵鉄鐡 鼓皷
雁鴈 筇笻 屆届 蔭廕 煮煑 往徃 所𫝂 乘乗 侯矦 塵尘 倦勌 晉晋 棱稜 粘黏 棲捿 撐撑
弔吊 鋪舖 攬擥 櫓艣艪 帆㠶 蠶蚕 韭韮 獵猎 輝煇 昏昬 婚㛰 茫𦬆 驅駈敺 嘯歗 簷檐 隙𨻶
嗅齅 崢峥 飈飆飇 樽罇 醱醗 舉擧 舊旧 潑溌 告吿 鬥鬭 萬万 與与 發発 賴頼 鶯鶑 髮髪
皋臯皐 宮宫 高髙 驢馿 鬧閙 將将 匆怱悤 旆斾 鳳鳯 齏虀 略畧 鎖鏁 邊邉 稚穉 峨峩 漱潄
羹羮 柏栢 幕幙 羈覊 薰薫 憩憇 篪箎 萼蕚 叫呌 纏纒 闊濶 解觧 耽躭 銜啣 斲斵 關闗
趁趂 鬣鬛 憖憗 籤籖 賒賖 倏倐 準凖 菹葅 橐槖 蟆蟇 醬醤 冤寃 輒輙 囊嚢 萊莱 釜釡
曳曵 彝彜 纖纎 礱礲 藤籐 劫刼 淥渌 頰頬 滾滚 專専 默黙 徇狥 吝恡 擊撃 攢攅 叢樷
耕畊 簪簮 莅蒞 廉亷 圖圗 褌裩 頹頺 挾挟 驗騐 圓圎 換换 涅湼 熙熈 聯聫 慚慙
""".split()  # noqa: SIM905 (350 quoted strings would hide the table)
_FOLD = {ord(variant): group[0] for group in _VARIANT_GROUPS for variant in group[1:]}

# As each script is printed today, where neither the form that this project writes nor what OpenCC makes of it is.
_SHOWN: Mapping[Script, Mapping[int, int]] = {
    "simplified": str.maketrans("簷蘂嬾堦顦顇槩賸鬬閤僊秔櫺羇斲", "檐蕊懒阶憔悴概剩斗阁仙粳棂羁斫"),
    "traditional": str.maketrans("却挂鈎鉢蘂", "卻掛鉤缽蕊"),
}

# Hardly a font has what Unicode put behind this.
_BASIC_PLANE_END = 0xFFFF
# In simplified characters they are another one today, but for names (沈約), books (著書) and spirits (神祇).
_MOSTLY = {
    "沉": re.compile("沈(?![约郎腰园宋佺亚周谢侯尹公君])(?<![鲍任谢]沈)"),
    "着": re.compile("著(?![书作述名录论])(?<![显名昭]著)"),
    "只": re.compile("祇(?![园树陀洹])(?<![神地灵]祇)"),
}

_HANZI = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]+")


def fold(text: str) -> str:
    """`text` with print variants replaced by the form this project writes."""
    return unicodedata.normalize("NFC", text).translate(_FOLD)


def is_hanzi(text: str) -> bool:
    """Whether `text` is Chinese characters and nothing else (and not empty)."""
    return _HANZI.fullmatch(text) is not None


@functools.cache
def _converter(config: str) -> opencc.OpenCC:
    return opencc.OpenCC(config)


def to_simplified(text: str) -> str:
    """Traditional text in simplified characters."""
    return str(_converter("t2s").convert(text))


def script_of(text: str) -> Script | None:
    """The script that a text is in by more of its characters; None if both write it so.

    Some stand in texts of either (空濛 in a simplified one, 牀 beside 床 in a traditional one).
    """
    traditional = _num_others(text, to_simplified(text))
    simplified = _num_others(text, fold(_from_simplified(text)))
    if simplified > traditional:
        return "simplified"
    return "traditional" if traditional else None


def _num_others(text: str, other: str) -> int:
    return sum(char != one for char, one in zip(text, other, strict=False))


def _from_simplified(text: str) -> str:
    found = str(_converter("s2t").convert(text))
    # It is the simplified 徵 too, but in verse mostly itself: 征途, 征雁.
    return "".join(own if own == "征" else new for own, new in zip(text, found, strict=True))


def to_traditional(text: str) -> str:
    """What a person typed, in folded traditional characters.

    A text that is more traditional than simplified is taken as traditional throughout; otherwise OpenCC turns it
    from simplified phrase by phrase (so that a lone 云 becomes 雲).
    """
    return fold(text if script_of(text) == "traditional" else _from_simplified(text))


def show(text: str, script: Script) -> str:
    """A text of ours (traditional) in the script asked for, as it is printed today."""
    printed = text.translate(_SHOWN[script])
    if script == "traditional":
        return printed
    simplified = to_simplified(printed)
    if len(simplified) == len(printed):
        # So 爇 stays, and does not become 𦶟.
        both = zip(printed, simplified, strict=True)
        simplified = "".join(own if ord(new) > _BASIC_PLANE_END else new for own, new in both)
    simplified = simplified.translate(_SHOWN[script])
    for today, mostly in _MOSTLY.items():
        simplified = mostly.sub(today, simplified)
    return simplified
