"""Links to pages of video sites, which exports hold beside the links to pictures. Pure."""

import re

_PAGES = re.compile(
    r"""https?://(?:
        [^/?#]+/@[^/?#]+(?:/(?:video|photo|live|playlist)(?:/[^?#]*)?)?/?(?:[?#].*)?  # TikTok and its like
      | (?:vm|vt)\.tiktok\.com/.*
      | (?:[a-z]+\.)?tiktok\.com/(?:t|v|embed|tag|music|discover)/.*
      | (?:[a-z]+\.)?(?:ies)?douyin\.com/(?:video|note|user|share|discover|collection)\b.*
      | v\.(?:douyin|kuaishou)\.com/.*
      | (?:[a-z]+\.)?kuaishou\.com/(?:short-video|profile|f)/.*
      | (?:[a-z]+\.)?(?:youtube\.com/(?:watch|shorts|playlist|channel|c|user|live|embed)\b|youtu\.be/).*
      | (?:[a-z]+\.)?instagram\.com/(?:p|reels?|tv|stories|[^/?#]+)(?:/[^?#]*)?(?:[?#].*)?
      | (?:[a-z]+\.)?facebook\.com/.*
      | fb\.watch/.*
      | (?:[a-z]+\.)?(?:bilibili\.com/video|xiaohongshu\.com/(?:explore|discovery|user)|xhslink\.com)/.*
      | (?:[a-z]+\.)?(?:twitter|x)\.com/[^/?#]+/status/.*
      | (?:[a-z]+\.)?(?:vimeo\.com/\d+|dailymotion\.com/video/|twitch\.tv/).*
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_PICTURE = re.compile(r"[^?#]*\.(?:jpe?g|png|webp|gif|heic|avif|image)(?:[?#].*)?", re.IGNORECASE)


def is_page(url: str) -> bool:
    """Say whether a URL is that of a page (a video, a profile) and not that of a picture."""
    return _PAGES.fullmatch(url) is not None and _PICTURE.fullmatch(url) is None
