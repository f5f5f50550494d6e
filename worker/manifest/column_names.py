"""The names of columns that are understood, in order of preference, and where each comes from. Data, no rules.

docs/manifest.md shows the same table; `scripts/list_columns.py` writes it from here.
"""

from typing import NamedTuple


class ColumnName(NamedTuple):
    """A name, and who writes it."""

    name: str
    writer: str


CREATOR = (
    ColumnName("creator_name", "this worker's own manifests"),
    ColumnName("creator", "this worker's own manifests; spreadsheets"),
    ColumnName("username", "TikTok's Display API and Research API; spreadsheets"),
    ColumnName("unique_id", "TikTok's app API"),
    ColumnName("author.uniqueId", "TikTok's web API (TikTok-Api), flattened with any separator; oEmbed"),
    ColumnName("authorMeta.name", "Apify's TikTok scrapers; drawrowfly's tiktok-scraper"),
    ColumnName("author_username", "various scrapers"),
    ColumnName("profile_username", "Bright Data, posts"),
    ColumnName("creator_username", "various scrapers"),
    ColumnName("uploader_id", "yt-dlp"),
    ColumnName("handle", "spreadsheets"),
    ColumnName("account", "spreadsheets"),
    ColumnName("author", "4CAT; various scrapers"),
    ColumnName("author_name", "oEmbed"),
    ColumnName("uploader", "yt-dlp"),
    ColumnName("channel", "yt-dlp"),
    ColumnName("influencer", "spreadsheets of agencies"),
    ColumnName("nickname", "MediaCrawler; TikTok's APIs: the name that is displayed"),
    ColumnName("作者", "Chinese spreadsheets: author"),
    ColumnName("创作者", "Chinese spreadsheets: creator"),
    ColumnName("达人", "Chinese agencies: influencer"),
    ColumnName("账号", "Chinese spreadsheets: account"),
    ColumnName("用户名", "Chinese spreadsheets: user name"),
    ColumnName("抖音号", "Douyin: handle"),
    ColumnName("账号昵称", "TikTokDownloader: displayed name of the account"),
    ColumnName("昵称", "Chinese spreadsheets: displayed name"),
)
"""Names of a creator column. A handle stands before the name that is displayed: it is unique, and does not change."""

URL = (
    ColumnName("cover_url", "this worker's own manifests; MediaCrawler"),
    ColumnName("cover_image_url", "TikTok's Display API"),
    ColumnName("video.cover", "TikTok's web and app APIs, flattened with any separator"),
    ColumnName("video.originCover", "TikTok's web and app APIs, flattened with any separator"),
    ColumnName("videoMeta.coverUrl", "Apify's TikTok scrapers"),
    ColumnName("covers.default", "drawrowfly's tiktok-scraper"),
    ColumnName("video_cover", "various scrapers"),
    ColumnName("static_cover", "TikTokDownloader"),
    ColumnName("cover", "various scrapers"),
    ColumnName("thumbnail_url", "oEmbed; 4CAT"),
    ColumnName("thumbnail", "yt-dlp"),
    ColumnName("preview_image", "Bright Data, posts"),
    ColumnName("image_url", "spreadsheets"),
    ColumnName("image", "spreadsheets"),
    ColumnName("picture", "spreadsheets"),
    ColumnName("封面", "Chinese spreadsheets: cover"),
    ColumnName("封面链接", "Chinese spreadsheets: link of the cover"),
    ColumnName("封面地址", "Chinese spreadsheets: address of the cover"),
    ColumnName("封面图", "Chinese spreadsheets: picture of the cover"),
    ColumnName("静态封面", "TikTokDownloader: still cover"),
    ColumnName("图片链接", "Chinese spreadsheets: link of the picture"),
    ColumnName("图片地址", "Chinese spreadsheets: address of the picture"),
    ColumnName("url", "spreadsheets; in most exports it is the page of the video"),
    ColumnName("link", "spreadsheets; in most exports it is the page of the video"),
    ColumnName("链接", "Chinese spreadsheets: link"),
)
"""Names of a URL column. A column of cover pictures stands before a general one."""
